//! The system under test and a tenant's tools.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

fn coordinate(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: these tests are started by tests/run"))
}

/// `host:port` of a plain registry that the system may reach, with `library/busybox:latest` in it.
pub(crate) fn registry() -> String {
    coordinate("WHARFINGER_E2E_REGISTRY")
}

pub(crate) fn data_dir() -> PathBuf {
    coordinate("WHARFINGER_E2E_DATA").into()
}

/// A Python with docker-py.
pub(crate) fn python() -> String {
    coordinate("WHARFINGER_E2E_PYTHON")
}

/// Root file system of a busybox, as a tar.
pub(crate) fn busybox_tar() -> PathBuf {
    coordinate("WHARFINGER_E2E_BUSYBOX").into()
}

/// An operator's command.
pub(crate) fn wharfinger(args: &[&str]) -> Output {
    let out = operators(args);
    assert!(out.status.success(), "wharfinger {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out
}

fn operators(args: &[&str]) -> Output {
    let mut command = Command::new(coordinate("WHARFINGER_E2E_BIN"));
    command.arg("--data-dir").arg(data_dir()).args(args).output().expect("wharfinger runs")
}

/// An operator's command that may be refused.
pub(crate) fn operator(args: &[&str]) -> Done {
    Done::of(operators(args))
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    #[track_caller]
    pub(crate) fn fails_with(self, code: i32, text: &str) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        assert!(self.err.contains(text), "{text:?} is not in: {}", self.err);
        self
    }
}

/// A tenant of this test alone; everything it has is removed at the end.
pub(crate) struct Tenant {
    pub(crate) name: String,
    pub(crate) endpoint: String,
    pub(crate) certs: String,
}

impl Tenant {
    /// Without any image.
    pub(crate) fn bare(prefix: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{}-{count}", std::process::id());
        wharfinger(&["tenants", "create", &name]);
        let text = String::from_utf8(wharfinger(&["env", "--tenant", &name]).stdout).expect("UTF-8");
        let value = |key: &str| {
            let line = text.lines().find(|l| l.contains(key)).unwrap_or_else(|| panic!("{key} is not in {text}"));
            line.split_once('=').expect("an assignment").1.trim_matches(['"', '\'']).to_owned()
        };
        Self { name, endpoint: value("DOCKER_HOST"), certs: value("DOCKER_CERT_PATH") }
    }

    /// With `busybox:latest`.
    pub(crate) fn new(prefix: &str) -> Self {
        let tenant = Self::bare(prefix);
        let tar = busybox_tar();
        tenant.docker(&["import", "-c", "CMD [\"sh\"]", tar.to_str().expect("UTF-8"), "busybox:latest"]).ok();
        tenant
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("DOCKER_HOST", &self.endpoint)
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", &self.certs)
            .env("DOCKER_CLI_HINTS", "false")
            .env("DOCKER_CONFIG", data_dir().join("docker-config").join(&self.name))
            .env_remove("DOCKER_CONTEXT")
            .env_remove("REQUESTS_CA_BUNDLE")
            .env_remove("CURL_CA_BUNDLE")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn docker(&self, args: &[&str]) -> Done {
        Done::of(self.command("docker").args(args).output().expect("docker runs"))
    }

    /// With `input` on stdin, which is then closed.
    pub(crate) fn docker_with_stdin(&self, args: &[&str], input: &[u8]) -> Done {
        let mut child = self.docker_child(args);
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let done = Done::of(child.wait_with_output().expect("docker ends"));
        writer.join().expect("writer");
        done
    }

    /// All three streams piped.
    pub(crate) fn docker_child(&self, args: &[&str]) -> Child {
        let mut command = self.command("docker");
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("docker runs")
    }

    /// A shell script with a terminal, the client's environment set.
    pub(crate) fn terminal(&self, script: &str) -> Done {
        Done::of(self.command("script").args(["-qec", script, "/dev/null"]).output().expect("script runs"))
    }

    pub(crate) fn shell(&self, script: &str) -> Done {
        Done::of(self.command("bash").args(["-c", script]).output().expect("bash runs"))
    }

    /// A shell script that goes on by itself; whoever starts it ends it.
    pub(crate) fn shell_child(&self, script: &str) -> Child {
        let mut command = self.command("bash");
        command.args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("bash runs")
    }

    pub(crate) fn python(&self, script: &str) -> Done {
        Done::of(self.command(&python()).args(["-c", script]).output().expect("python runs"))
    }

    pub(crate) fn inspect(&self, container: &str) -> Value {
        let text = self.docker(&["inspect", container]).ok();
        serde_json::from_str::<Value>(&text).expect("JSON")[0].clone()
    }

    /// An HTTPS request with the tenant's certificate: status and body.
    pub(crate) fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> (u16, String) {
        block_on(async {
            let mut request = self
                .client()
                .request(method.parse().expect("method"), format!("{}{path}", self.endpoint.replace("tcp:", "https:")));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let response = request.body(body).send().await.expect("an answer");
            (response.status().as_u16(), response.text().await.unwrap_or_default())
        })
    }

    pub(crate) fn client(&self) -> reqwest::Client {
        let read = |name: &str| std::fs::read(Path::new(&self.certs).join(name)).expect("certificate file");
        let identity = [read("cert.pem"), read("key.pem")].concat();
        reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&read("ca.pem")).expect("CA"))
            .identity(reqwest::Identity::from_pem(&identity).expect("identity"))
            .timeout(Duration::from_secs(60))
            .build()
            .expect("client")
    }

    /// A connection of the tenant's, for what no HTTP client would send.
    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        let read = |name: &str| std::fs::read(Path::new(&self.certs).join(name)).expect("certificate file");
        let certificates =
            |pem: &[u8]| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().expect("PEM");
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&read("ca.pem")));
        let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).expect("PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_root_certificates(roots);
        let config = config.with_client_auth_cert(certificates(&read("cert.pem")), key).expect("identity");
        let address = self.address();
        let host = address.rsplit_once(':').expect("host and port").0.trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).expect("a server's name");
        let socket = TcpStream::connect(&address).await.expect("the endpoint listens");
        TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("a TLS handshake")
    }

    /// `host:port` of the endpoint.
    pub(crate) fn address(&self) -> String {
        self.endpoint.replace("tcp://", "")
    }

    /// The `message` of an error body.
    #[track_caller]
    pub(crate) fn refused(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (status, text) = self.http(method, path, &[("content-type", "application/json")], body.to_owned());
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{status}: {text}: {e}"));
        (status, value["message"].as_str().expect("a message").to_owned())
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        let _ = self.shell("docker rm -f $(docker ps -aq) 2>/dev/null");
    }
}

/// Runs `work` to its end on a runtime of its own.
pub(crate) fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(work)
}

/// Polls until `condition` holds; panics after `seconds`.
#[track_caller]
pub(crate) fn eventually(seconds: u64, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !condition() {
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Process id of a role of the system, as its ready file says.
pub(crate) fn role_pid(role: &str) -> u32 {
    let path = data_dir().join("run").join(format!("{role}.ready"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.trim().parse().expect("a process id")
}

/// Every role's name and process id.
pub(crate) fn roles() -> Vec<(String, u32)> {
    let entries = std::fs::read_dir(data_dir().join("run")).expect("the run folder");
    let names = entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.filter_map(|name| name.strip_suffix(".ready").map(|role| (role.to_owned(), role_pid(role)))).collect()
}

/// SIGKILL to a process of the system under test.
pub(crate) fn kill_hard(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs").success());
}
