//! Tenants' credentials: the operator's commands, and what a client sees of them.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::system::{Done, Tenant, eventually, operator};

/// A credential of its own for a tenant, and the client that uses it.
struct Holder {
    id: String,
    client: Tenant,
    dir: TempDir,
}

impl Holder {
    fn create(t: &Tenant, user: &str, role: &str) -> Self {
        Self::issued(t, &["create", "--tenant", &t.name, "--user", user, "--role", role])
    }

    fn issued(t: &Tenant, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let out = dir.path().to_str().expect("UTF-8");
        let told = operator(&[&["credentials"][..], args, &["--out", out]].concat()).ok();
        let id = told.split_whitespace().nth(1).expect("an id").to_owned();
        let client = Tenant { name: t.name.clone(), endpoint: t.endpoint.clone(), certs: out.to_owned() };
        Self { id, client, dir }
    }

    fn path(&self, file: &str) -> String {
        self.dir.path().join(file).to_str().expect("UTF-8").to_owned()
    }

    /// Its row of the list.
    fn listed(&self) -> Value {
        let list = operator(&["credentials", "list", "--tenant", &self.client.name, "--output", "json"]).ok();
        let list: Vec<Value> = serde_json::from_str(&list).expect("JSON");
        list.into_iter().find(|row| row["id"] == *self.id).unwrap_or_else(|| panic!("{} is not listed", self.id))
    }
}

fn revoke(id: &str) -> Done {
    operator(&["credentials", "revoke", id])
}

#[test]
fn a_viewer_reads_and_changes_nothing() {
    let t = Tenant::new("cred");
    t.docker(&["run", "-d", "-i", "--name", "c1", "busybox", "sh", "-c", "echo said; cat"]).ok();
    t.docker(&["create", "--name", "c2", "busybox", "true"]).ok();
    let json = [("content-type", "application/json")];
    let (_, text) = t.http("POST", "/containers/c1/exec", &json, r#"{"Cmd":["true"]}"#);
    let exec = serde_json::from_str::<Value>(&text).expect("JSON")["Id"].as_str().expect("id").to_owned();
    let viewer = Holder::create(&t, "vera", "viewer");
    let v = &viewer.client;
    assert_eq!(v.docker(&["ps", "-q"]).ok().lines().count(), 1);
    assert_eq!(v.inspect("c1")["State"]["Running"], true);
    eventually(20, "its output is there", || v.docker(&["logs", "c1"]).ok() == "said\n");
    let start = format!("/exec/{exec}/start");
    let create = r#"{"Image":"busybox","Cmd":["true"]}"#;
    for (method, path, body) in [
        ("POST", "/containers/create", create),
        ("POST", "/containers/c1/exec", r#"{"Cmd":["true"]}"#),
        ("POST", &start, r#"{"Detach":false}"#),
        ("POST", "/containers/c2/start", ""),
        ("POST", "/containers/c1/kill", ""),
        ("POST", "/containers/c1/attach?stream=1&stdin=1&stdout=1", ""),
        ("DELETE", "/containers/c1?force=1", ""),
        ("POST", "/images/prune", ""),
    ] {
        let (status, why) = v.refused(method, path, body);
        assert_eq!(status, 403, "{method} {path}: {why}");
        assert!(why.contains("the role viewer may"), "{method} {path}: {why}");
    }
    v.docker(&["exec", "c1", "true"]).fails_with(1, "the role viewer may only read");
    v.docker(&["create", "busybox"]).fails_with(1, "the role viewer may only read");
    assert_eq!(t.inspect("c1")["State"]["Running"], true, "nothing of that touched it");
    let developer = Holder::create(&t, "dan", "developer");
    developer.client.docker(&["exec", "c1", "true"]).ok();
}

#[test]
fn a_key_that_never_leaves_its_client_is_as_good() {
    let t = Tenant::new("cred");
    for kind in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256", "ec -pkeyopt ec_paramgen_curve:P-384", "ed25519"] {
        let dir = tempfile::tempdir().expect("a directory");
        request(&t, dir.path(), kind).ok();
        let path = |file: &str| dir.path().join(file).to_str().expect("UTF-8").to_owned();
        let key = std::fs::read(path("key.pem")).expect("a key");
        let (csr, out) = (path("csr.pem"), path(""));
        let create = ["credentials", "create", "--tenant", &t.name, "--user", "ann", "--role", "developer"];
        operator(&[&create[..], &["--csr", &csr, "--out", &out]].concat()).ok();
        let mut files: Vec<_> = std::fs::read_dir(dir.path())
            .expect("the directory")
            .map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        files.sort_unstable();
        assert_eq!(files, ["ca.pem", "cert.pem", "csr.pem", "key.pem"]);
        assert_eq!(std::fs::read(path("key.pem")).expect("a key"), key);
        let ann = Tenant { name: t.name.clone(), endpoint: t.endpoint.clone(), certs: out };
        assert_eq!(ann.docker(&["run", "--rm", "busybox", "echo", kind]).ok(), format!("{kind}\n"));
    }
    let weak = tempfile::tempdir().expect("a directory");
    request(&t, weak.path(), "rsa:1024").ok();
    let (csr, out) = (weak.path().join("csr.pem"), weak.path().join("out"));
    let create = ["credentials", "create", "--tenant", &t.name, "--user", "weak", "--role", "owner"];
    let paths = ["--csr", csr.to_str().expect("UTF-8"), "--out", out.to_str().expect("UTF-8")];
    operator(&[&create[..], &paths].concat())
        .fails_with(1, "csr.pem: invalid certificate request: its RSA key has 1024 bits");
    assert!(!out.exists());
    let list = operator(&["credentials", "list", "--tenant", &t.name]).ok();
    assert!(list.contains(" ann ") && !list.contains(" weak "), "{list}");
}

/// `key.pem` and `csr.pem`, which asks for more than it will get.
fn request(t: &Tenant, dir: &Path, kind: &str) -> Done {
    let names = "subjectAltName=DNS:frontend.wharfinger,URI:wharfinger://role/frontend";
    let files = "-keyout key.pem -out csr.pem";
    let dir = dir.display();
    t.shell(&format!("cd {dir} && openssl req -new -newkey {kind} -nodes {files} -subj /CN=root -addext '{names}'"))
}

#[test]
fn a_bundle_is_a_context_and_a_script_too() {
    let t = Tenant::new("cred");
    let id = t.docker(&["create", "busybox", "true"]).ok();
    let ann = Holder::create(&t, "ann", "developer");
    let bare = "cd / && unset DOCKER_HOST DOCKER_TLS_VERIFY DOCKER_CERT_PATH";
    let import = format!("{bare}; docker context import site {} >&2 && docker --context site", ann.path("context.tar"));
    assert_eq!(t.shell(&format!("{import} ps -aq --no-trunc")).ok(), id);
    let inspect = "docker context inspect site -f '{{.Endpoints.docker.Host}}'";
    assert_eq!(t.shell(&format!("{bare}; {inspect}")).ok().trim(), t.endpoint);
    t.shell(&format!("{bare}; docker context rm -f site")).ok();
    assert_eq!(t.shell(&format!("{bare}; . {}; docker ps -aq --no-trunc", ann.path("env.sh"))).ok(), id);
    let modes = format!("stat -c '%a' {}", ann.path("*"));
    assert_eq!(t.shell(&modes).ok(), "600\n".repeat(5), "ca, cert, key, env.sh, context.tar");
}

/// Once something of it has come: the stream stands.
fn streaming(t: &Tenant, args: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = t.docker_child(args);
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    stdout.read_exact(&mut [0]).unwrap_or_else(|e| panic!("{args:?}: {e}"));
    (child, stdout)
}

#[test]
fn a_revocation_ends_what_streams_and_another_credential_goes_on() {
    let t = Tenant::new("cred");
    let count = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done";
    t.docker(&["run", "-d", "--name", "c1", "busybox", "sh", "-c", count]).ok();
    let (ann, bob) = (Holder::create(&t, "ann", "developer"), Holder::create(&t, "bob", "viewer"));
    let (mut other, mut lines) = streaming(&bob.client, &["logs", "-f", "c1"]);
    let mut cut = [
        ("logs", streaming(&ann.client, &["logs", "-f", "c1"])),
        ("events", streaming(&ann.client, &["events", "--since", "10m"])),
        ("attach", streaming(&ann.client, &["attach", "--no-stdin", "c1"])),
        ("exec", streaming(&ann.client, &["exec", "-i", "c1", "sh", "-c", count])),
    ];
    revoke(&ann.id).ok();
    let began = Instant::now();
    for (what, (child, _)) in &mut cut {
        // 750 ms and a client's end, on a machine that is busy with other tests.
        while child.try_wait().expect("a child").is_none() {
            assert!(began.elapsed() < Duration::from_millis(1500), "{what} goes on after {:?}", began.elapsed());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    ann.client.docker(&["ps"]).fails_with(1, "the client certificate has been revoked");
    let now: u64 = bob.client.docker(&["logs", "-n", "1", "c1"]).ok().trim().parse().expect("a number");
    let later = lines
        .by_ref()
        .lines()
        .map(|line| line.expect("a line"))
        .find(|line| line.parse::<u64>().is_ok_and(|n| n > now + 5));
    assert!(later.is_some(), "another credential's stream has ended");
    assert!(other.try_wait().expect("a child").is_none());
    other.kill().expect("it is ended");
    other.wait().expect("reaped");
    assert_eq!(t.inspect("c1")["State"]["Running"], true);
    assert!(ann.listed()["revoked_at"].is_string() && bob.listed()["revoked_at"].is_null());
}

#[test]
fn a_revocation_may_be_said_twice_and_an_unknown_id_is_said() {
    let t = Tenant::bare("cred");
    let ann = Holder::create(&t, "ann", "owner");
    ann.client.docker(&["ps"]).ok();
    assert!(revoke(&ann.id).ok().contains("is revoked"));
    let at = ann.listed()["revoked_at"].clone();
    assert!(revoke(&ann.id).ok().contains("was revoked before"));
    assert_eq!(ann.listed()["revoked_at"], at);
    let unknown = "00000000-0000-4000-8000-000000000000";
    revoke(unknown).fails_with(1, &format!("no such credential: {unknown}"));
    revoke("ann").fails_with(1, "no such credential: ann");
    operator(&["credentials", "renew", &ann.id, "--out", &ann.path("new")]).fails_with(1, "was revoked at");
}

#[test]
fn a_renewed_credential_and_the_old_one_serve_side_by_side() {
    let t = Tenant::bare("cred");
    let old = Holder::create(&t, "ann", "viewer");
    let new = Holder::issued(&t, &["renew", &old.id, "--days", "30"]);
    assert_ne!(old.id, new.id);
    let (was, is) = (old.listed(), new.listed());
    assert_eq!((&is["tenant"], &is["user"], &is["role"]), (&was["tenant"], &was["user"], &was["role"]));
    assert!(is["not_after"].as_str() < was["not_after"].as_str(), "30 days, not 90: {is} {was}");
    old.client.docker(&["ps"]).ok();
    new.client.docker(&["ps"]).ok();
    revoke(&old.id).ok();
    eventually(5, "the old one is refused", || old.client.docker(&["ps"]).code == 1);
    new.client.docker(&["ps"]).ok();
}

#[test]
fn a_refusal_names_its_field_and_its_reason() {
    let t = Tenant::bare("cred");
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().to_str().expect("UTF-8");
    let create = |tenant: &str, user: &str, role: &str, more: &[&str]| {
        let args = ["credentials", "create", "--tenant", tenant, "--user", user, "--role", role, "--out", out];
        operator(&[&args[..], more].concat())
    };
    create(&t.name, "ann", "admin", &[]).fails_with(2, "--role");
    create(&t.name, "ann", "owner", &["--days", "0"]).fails_with(2, "--days");
    create(&t.name, "ann", "owner", &["--days", "826"]).fails_with(2, "1..=825");
    create("nosuch", "ann", "owner", &[]).fails_with(1, "no such tenant: nosuch");
    create(&t.name, "a/b", "owner", &[]).fails_with(1, "invalid user name \"a/b\"");
    create(&t.name, "ann", "owner", &["--csr", "/nonesuch"]).fails_with(1, "--csr /nonesuch: ");
    std::fs::write(dir.path().join("key.pem"), "mine").expect("a file");
    create(&t.name, "ann", "owner", &[]).fails_with(1, "key.pem exists already");
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 1, "nothing of it is left");
    let list = operator(&["credentials", "list", "--tenant", &t.name]).ok();
    assert_eq!(list.lines().count(), 2, "a head and the tenant's first: {list}");
}
