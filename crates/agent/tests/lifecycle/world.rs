//! A host of its own for each test: a network namespace, a private containerd, an agent in this process. All of it is
//! gone when the test ends, however it ends.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use agent::{
    Config,
    lifecycle::{Accepted, Condition, Done, Engine, ExecStart, Inputs},
};
use domain::{
    ContainerId, ContainerSpec, Digest, ExecId, ExecSpec, HostId, ImageRootfs, Layer, Observation, PlacedVolume,
    Resources, Result, Signal, TenantId,
    spec::{DnsSettings, LogDriver, LogSpec, NetworkMode, ProcessSpec, RestartPolicy},
};
use futures::StreamExt;
use nix::{
    mount::{MntFlags, umount2},
    sched::{CloneFlags, setns},
};
use rpc::{TlsFiles, v1};
use tokio_util::sync::CancellationToken;

/// First host uid of the test's tenant; not a multiple that a real tenant has.
pub(crate) const UID_BASE: u32 = 700_000_000;

pub(crate) struct World {
    name: String,
    pub(crate) root: PathBuf,
    pub(crate) run: PathBuf,
    containerd: Option<Child>,
}

/// Runs `test` on a fresh host, or says why not.
pub(crate) fn on_a_host<F: Future<Output = ()>>(test: impl FnOnce(Host) -> F + Send + 'static) {
    in_two_lives(
        |host| async move {
            let kept = host.kept();
            test(host).await;
            (None, kept)
        },
        |_, ()| async {},
    );
}

/// Two lives of an agent on one host. Between them its runtime ends, and with it all that it was about to do: as near to
/// `kill -9` as one process comes. The first life gives the host and what the second must know.
pub(crate) fn in_two_lives<T, A, B>(
    first: impl FnOnce(Host) -> A + Send + 'static,
    second: impl FnOnce(Host, T) -> B + Send + 'static,
) where
    A: Future<Output = (Option<T>, Kept)>,
    B: Future<Output = ()>,
{
    if !nix::unistd::Uid::effective().is_root() || Command::new("containerd").arg("--version").output().is_err() {
        return eprintln!("skipped: needs root and containerd");
    }
    if std::env::var_os("WHARFINGER_LOG").is_some() {
        bootstrap::telemetry::init("test");
    }
    let mut world = World::new();
    world.start_containerd();
    let path = PathBuf::from(format!("/run/netns/{}", world.name));
    // Outlives every task of the agents, so that nothing is made behind the clean-up.
    let world = Arc::new(Mutex::new(world));
    let inside = world.clone();
    let thread = std::thread::spawn(move || {
        // All of a runtime's threads inherit the namespace of the one that made it.
        setns(fs::File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        let (carried, kept) = life(async { first(Host::open(inside).await).await });
        if let Some(carried) = carried {
            std::thread::sleep(Duration::from_secs(1));
            life(async { second(Host::reopen(kept).await, carried).await });
        }
    });
    let outcome = thread.join();
    drop(world);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn life<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// What is there after an agent's end.
pub(crate) struct Kept {
    world: Arc<Mutex<World>>,
    image: ImageRootfs,
    tenant: TenantId,
}

impl World {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("whlife-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (root, run) = (PathBuf::from(format!("/var/tmp/{name}")), PathBuf::from(format!("/run/{name}")));
        fs::create_dir_all(root.join("helpers")).unwrap();
        fs::create_dir_all(&run).unwrap();
        sh(&format!("ip netns add {name}"));
        sh(&format!("ip -n {name} link set lo up"));
        sh(&format!("ip -n {name} link add eth0 type veth peer name peer0"));
        sh(&format!("ip -n {name} addr add 10.250.0.11/24 dev eth0"));
        sh(&format!("ip -n {name} link set eth0 up"));
        sh(&format!("ip -n {name} link set peer0 up"));
        let world = Self { name, root, run, containerd: None };
        world.install_helpers();
        world
    }

    fn install_helpers(&self) {
        let helpers = self.root.join("helpers");
        let given = std::env::var_os("WHARFINGER_TEST_HELPERS").map(PathBuf::from);
        let built = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
        for (name, fallback) in [
            ("wharfinger-logger", built.join("wharfinger-logger")),
            ("wharfinger-enter", built.join("wharfinger-enter")),
            ("docker-init", "/usr/bin/tini-static".into()),
        ] {
            let source = given.as_ref().map(|g| g.join(name)).filter(|p| p.exists()).unwrap_or(fallback);
            if let Err(error) = fs::copy(&source, helpers.join(name)) {
                assert!(name == "docker-init", "{}: {error}", source.display());
            }
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.run.join("containerd.sock")
    }

    pub(crate) fn start_containerd(&mut self) {
        let (root, run) = (self.root.join("containerd"), self.run.join("containerd"));
        let config = self.root.join("containerd.toml");
        let text = format!(
            "version = 2\nroot = {root:?}\nstate = {run:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.internal.v1.opt\"]\n[grpc]\naddress = {:?}\n",
            self.socket()
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::options().create(true).append(true).open(self.root.join("containerd.log")).unwrap();
        let child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", self.name))
            .args(["containerd", "-c"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.containerd = Some(child.unwrap());
        let up = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(25));
            std::os::unix::net::UnixStream::connect(self.socket()).is_ok()
        });
        assert!(up, "{}", fs::read_to_string(self.root.join("containerd.log")).unwrap_or_default());
    }

    pub(crate) fn kill_containerd(&mut self) {
        if let Some(mut child) = self.containerd.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn config(&self) -> Config {
        let nowhere = TlsFiles { ca: "/none".into(), cert: "/none".into(), key: "/none".into() };
        Config {
            host_id: HostId::random(),
            name: self.name.clone(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: "https://127.0.0.1:1".into(),
            containerd: self.socket(),
            root: self.root.join("agent"),
            run: self.run.join("agent"),
            schedulers: vec![],
            frontends: vec![],
            tls: nowhere,
            cgroup_parent: format!("/{}", self.name),
            helpers: self.root.join("helpers"),
            labels: Default::default(),
            cpu_millis: None,
            memory_bytes: None,
            dns_upstream: vec!["10.250.0.1:53".parse().unwrap()],
            underlay_interface: "eth0".into(),
            layers_idle_s: 7 * 24 * 3600,
            layers_idle_least_s: 600,
            layers_disk_high_percent: 100,
            layers_disk_low_percent: 100,
            shared_volumes: Some(self.root.join("shared")),
            ready_file: None,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::env::var_os("WHARFINGER_TEST_KEEP_LOG").is_some() {
            eprintln!("{}", fs::read_to_string(self.root.join("containerd.log")).unwrap_or_default());
        }
        self.kill_containerd();
        kill_by_argument(&self.socket().to_string_lossy());
        kill_by_argument(&self.root.to_string_lossy());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let ours = |path: &&str| Path::new(path).starts_with(&self.run) || Path::new(path).starts_with(&self.root);
        for path in mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)).filter(ours) {
            let _ = umount2(path, MntFlags::MNT_DETACH);
        }
        for controller in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_cgroup(&controller.path().join(&self.name));
        }
        remove_cgroup(&Path::new("/sys/fs/cgroup").join(&self.name));
        let _ = fs::remove_dir_all(&self.run);
        let _ = fs::remove_dir_all(&self.root);
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Shims and their containers, found by what is on their command line and nowhere else.
fn kill_by_argument(argument: &str) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if pid != std::process::id() as i32 && String::from_utf8_lossy(&line).contains(argument) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            for pid in children.split_whitespace().filter_map(|p| p.parse().ok()).chain([pid]) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
    std::thread::sleep(Duration::from_millis(50));
}

fn remove_cgroup(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
        remove_cgroup(&entry.path());
    }
    let _ = fs::remove_dir(path);
}

pub(crate) fn sh(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success(), "{command}");
}

/// The agent, and the image that the tests run.
pub(crate) struct Host {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) image: ImageRootfs,
    pub(crate) tenant: TenantId,
}

impl Host {
    async fn open(world: Arc<Mutex<World>>) -> Self {
        let (config, root) = {
            let world = world.lock().unwrap();
            (world.config(), world.root.clone())
        };
        let engine = open_with(config).await;
        let image = busybox(&engine, &root).await;
        Self { world, engine, image, tenant: TenantId::random() }
    }

    async fn reopen(kept: Kept) -> Self {
        let Kept { world, image, tenant } = kept;
        let config = world.lock().unwrap().config();
        Self { engine: open_with(config).await, world, image, tenant }
    }

    pub(crate) fn kept(&self) -> Kept {
        Kept { world: self.world.clone(), image: self.image.clone(), tenant: self.tenant }
    }

    pub(crate) fn spec(&self, script: &str) -> ContainerSpec {
        ContainerSpec {
            image: self.image.clone(),
            process: ProcessSpec {
                args: ["sh", "-c", script].map(String::from).to_vec(),
                env: vec![],
                cwd: "/".into(),
                user: String::new(),
                group_add: vec![],
                tty: false,
                console_height: 0,
                console_width: 0,
                capabilities: CAPABILITIES.map(String::from).to_vec(),
                no_new_privileges: false,
                rlimits: vec![],
                oom_score_adj: 0,
            },
            hostname: "box".into(),
            domainname: String::new(),
            stdin_open: false,
            stdin_once: false,
            rootfs_readonly: false,
            init: false,
            resources: Resources {
                memory_bytes: 64 << 20,
                memory_reservation_bytes: 0,
                cpu_millis: 1000,
                cpu_period_us: 100_000,
                cpu_quota_us: 100_000,
                cpu_shares: 1024,
                pids_limit: 64,
                blkio_weight: 0,
            },
            shm_bytes: 32 << 20,
            tmpfs: vec![],
            volumes: vec![],
            sysctls: Default::default(),
            network: NetworkMode::None,
            dns: DnsSettings::default(),
            extra_hosts: vec![],
            ports: vec![],
            log: LogSpec {
                driver: LogDriver::JsonFile,
                max_size_bytes: 1 << 20,
                max_files: 3,
                attributes: Default::default(),
            },
            stop_signal: Signal::TERM,
            stop_timeout_s: 10,
            restart: RestartPolicy::No,
            auto_remove: false,
            health: None,
        }
    }

    pub(crate) async fn create(&self, spec: ContainerSpec) -> ContainerId {
        self.try_create(spec).await.unwrap()
    }

    pub(crate) async fn try_create(&self, spec: ContainerSpec) -> Result<ContainerId> {
        let id = ContainerId::random();
        self.create_as(&id, spec).await?;
        Ok(id)
    }

    pub(crate) async fn create_as(&self, id: &ContainerId, spec: ContainerSpec) -> Result<Done> {
        self.create_with(id, spec, vec![]).await
    }

    pub(crate) async fn create_with(
        &self,
        id: &ContainerId,
        spec: ContainerSpec,
        volumes: Vec<PlacedVolume>,
    ) -> Result<Done> {
        let (tenant, id, name) = (self.tenant, id.clone(), "test".to_owned());
        self.engine.create(Accepted { tenant, id, name, uid_base: UID_BASE, spec, endpoints: vec![], volumes }).await
    }

    pub(crate) async fn start(&self, id: &ContainerId) -> Result<Done> {
        self.engine.start(self.tenant, id, Vec::new()).await
    }

    /// Created and started.
    pub(crate) async fn launch(&self, spec: ContainerSpec) -> ContainerId {
        let id = self.create(spec).await;
        self.start(&id).await.unwrap();
        id
    }

    pub(crate) async fn wait(&self, id: &ContainerId, condition: Condition) -> Observation {
        let waiting = self.engine.wait(self.tenant, id, condition);
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("in time").unwrap()
    }

    /// Runs it to its end; exit code and output.
    pub(crate) async fn run(&self, spec: ContainerSpec) -> (i32, String) {
        let id = self.launch(spec).await;
        let exit = self.wait(&id, Condition::NotRunning).await;
        (exit.exit_code, self.logs(&id).await)
    }

    pub(crate) async fn logs(&self, id: &ContainerId) -> String {
        let request = v1::LogsRequest { stdout: true, stderr: true, follow: true, ..Default::default() };
        text(self.engine.logs(self.tenant, id, &request).unwrap()).await.0
    }

    pub(crate) async fn exec(&self, id: &ContainerId, args: &[&str]) -> Result<(String, Option<i32>)> {
        let spec = exec_spec(args);
        let start = ExecStart {
            tenant: self.tenant,
            container: id.clone(),
            id: ExecId::random(),
            spec,
            detach: false,
            size: (0, 0),
        };
        let no_input: Inputs = Box::pin(futures::stream::empty());
        Ok(text(self.engine.exec(start, no_input).await?).await)
    }

    pub(crate) fn observation(&self, id: &ContainerId) -> Observation {
        self.engine.find(self.tenant, id).unwrap().observation()
    }

    /// Polls for at most 10 s.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..400 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{what} did not come true");
    }
}

pub(crate) fn exec_spec(args: &[&str]) -> ExecSpec {
    ExecSpec {
        args: args.iter().map(|a| (*a).to_owned()).collect(),
        env: vec![],
        cwd: String::new(),
        user: String::new(),
        tty: false,
        attach_stdin: false,
        attach_stdout: true,
        attach_stderr: true,
        detach_keys: String::new(),
        console_height: 0,
        console_width: 0,
    }
}

/// All chunks, and the exit code if one came.
pub(crate) async fn text(mut outputs: agent::lifecycle::Outputs) -> (String, Option<i32>) {
    let (mut bytes, mut exit) = (Vec::new(), None);
    while let Some(item) = outputs.next().await {
        match item.unwrap().output {
            Some(v1::stream_output::Output::Chunk(chunk)) => bytes.extend_from_slice(&chunk.data),
            Some(v1::stream_output::Output::Exit(e)) => exit = Some(e.exit_code),
            _ => {}
        }
    }
    (String::from_utf8_lossy(&bytes).into_owned(), exit)
}

async fn open_with(config: Config) -> Arc<Engine> {
    let engine = agent::open(config).await.unwrap();
    tokio::spawn(engine.clone().follow_events(CancellationToken::new()));
    engine.until_adopted().await;
    engine
}

/// An image with one layer, unpacked without a frontend.
async fn busybox(engine: &Engine, dir: &Path) -> ImageRootfs {
    let rootfs = dir.join("rootfs");
    for name in ["bin", "etc", "tmp", "proc", "sys", "dev", "root"] {
        fs::create_dir_all(rootfs.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
    sh(&format!(
        "for a in $(/bin/busybox --list); do ln -f {0}/busybox {0}/$a 2>/dev/null || true; done",
        rootfs.join("bin").display()
    ));
    fs::write(rootfs.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n").unwrap();
    fs::write(rootfs.join("etc/group"), "root:x:0:\nwheel:x:10:nobody\n").unwrap();
    sh(&format!("tar --owner=0 --group=0 --numeric-owner -cf {0}/layer.tar -C {0}/rootfs .", dir.display()));
    let bytes = fs::read(dir.join("layer.tar")).unwrap();
    let digest = Digest::of(&bytes);
    let layer = Layer {
        digest: digest.clone(),
        diff_id: digest.clone(),
        size_bytes: bytes.len() as u64,
        media_type: "application/vnd.oci.image.layer.v1.tar".into(),
    };
    let stored = layer.clone();
    let unpacked = engine.containerd.leased("test", |containerd| async move {
        let chunks: Vec<_> = bytes.chunks(1 << 20).map(|c| Ok(bytes::Bytes::copy_from_slice(c))).collect();
        containerd.write_blob(&stored, futures::stream::iter(chunks)).await?;
        let mounts = containerd.prepare("unpack-test", "").await?.expect("no parent");
        assert_eq!(containerd.apply(&stored, mounts).await?, stored.diff_id);
        containerd.commit("unpack-test", digest.as_str()).await
    });
    unpacked.await.unwrap();
    ImageRootfs { image_id: Digest::of(b"config"), layers: vec![layer] }
}

const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
