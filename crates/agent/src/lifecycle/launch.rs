//! A run begins: sandbox, runtime spec, task, and a waiter for its end.
//!
//! The order matters. The record has its runtime spec before there is a task. The waiter is asked for before the command
//! runs, so that no exit is too fast for it. An exit that comes while this still holds the turn waits for it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Instant,
};

use chrono::Utc;
use domain::{Digest, Endpoint, Error, Happening, HostPort, Observation, Result, Status};

use super::{
    Container, Engine,
    container::{Run, Turn},
};
use crate::{
    containerd::{Mount, NewTask, RunError, snapshots_dir},
    idmap,
    network::{Sandbox, SandboxRequest},
    passwd::{Accounts, User},
    spec::{self, Context},
    stdio, uts,
};

/// `/etc/passwd` and `/etc/group` of images, by topmost chain id.
#[derive(Default)]
pub(super) struct AccountsCache(Mutex<HashMap<Digest, Arc<Accounts>>>);

/// Images whose accounts are kept.
const ACCOUNTS_MAX: usize = 256;

/// Exit code of a container that could not be started for a reason of the host's.
pub(super) const CANNOT_START: i32 = 128;

/// A failed start, as dockerd tells it.
struct Failure {
    exit_code: i32,
    error: Error,
}

impl From<Error> for Failure {
    /// dockerd's code for a start that failed for a reason of the host's.
    fn from(error: Error) -> Self {
        Self { exit_code: CANNOT_START, error }
    }
}

impl Engine {
    /// From no task to a running one. On failure nothing of the run is left, and the state says why.
    pub(super) async fn launch(self: &Arc<Self>, container: &Arc<Container>, turn: &mut Turn) -> Result<Observation> {
        match self.run(container, turn).await {
            Ok(observation) => {
                self.reports.container(observation.clone());
                self.store_later(container);
                Ok(observation)
            }
            Err(failure) => {
                self.undo(container, turn).await;
                self.record_failure(container, failure.exit_code, &failure.error);
                Err(failure.error)
            }
        }
    }

    pub(super) fn record_failure(&self, container: &Container, exit_code: i32, error: &Error) {
        let observation = container.change(|state| {
            state.wanted = false;
            state.observation.exit_code = exit_code;
            state.observation.error = error.to_string();
            // It was plugged in and out, as dockerd tells it.
            state.happened(Utc::now(), Happening::CONNECT, []);
            state.happened(Utc::now(), Happening::DISCONNECT, []);
        });
        self.reports.container(observation);
    }

    async fn run(self: &Arc<Self>, container: &Arc<Container>, turn: &mut Turn) -> Result<Observation, Failure> {
        let mut laps = Laps::begin();
        let (sandbox, root, volumes) =
            tokio::join!(self.sandbox(container), self.root(container, turn), self.mount_volumes(container));
        let (sandbox, (rootfs, user), volumes) = (sandbox?, root?, volumes?);
        let catching_up = self.catch_up(container);
        laps.lap("sandbox");
        self.declare(container, turn, &sandbox, user).await?;
        laps.lap("declare");
        let pid = self.create_task(container, turn, rootfs).await?;
        // The runtime has mounts of its own now.
        drop(volumes);
        laps.lap("create");
        container.oom.store(false, Ordering::Release);
        turn.run = Some(Run { pid, since: Instant::now(), health: None });
        let domainname = &container.accepted.spec.domainname;
        if !domainname.is_empty() {
            uts::set_domainname(pid, domainname).await?;
        }
        container.announce_start();
        self.watch_exit(container, pid);
        // Before the command runs: it may be over when the answer comes.
        let started_at = Utc::now();
        self.containerd.start(container.id(), None).await.map_err(|e| self.failure("start", e))?;
        laps.lap("start");
        tracing::debug!(container = container.id(), %laps, "started");
        self.stdin_started(container).await;
        self.begin_health(container, turn);
        if let Some(catching_up) = catching_up {
            let _ = catching_up.await;
        }
        Ok(container.change(|state| {
            let o = &mut state.observation;
            (o.status, o.pid, o.exit_code, o.oom_killed) = (Status::Running, pid, 0, false);
            (o.started_at, o.finished_at) = (Some(started_at), None);
            o.error.clear();
            o.health = super::health::at_start(&container.accepted.spec);
            state.happened(started_at, Happening::CONNECT, []);
            state.happened(started_at, "start", []);
        }))
    }

    /// The first container of a network on this host: who else is in it, and where, must be known before it has started.
    fn catch_up(&self, container: &Container) -> Option<tokio::task::JoinHandle<()>> {
        let endpoints = container.endpoints();
        let vnis = endpoints.iter().map(|e| e.vni).filter(|vni| self.network.is_alone_in(&container.accepted.id, *vni));
        let vnis: Vec<u32> = vnis.collect();
        let network = self.network.clone();
        (!vnis.is_empty()).then(|| tokio::spawn(async move { network.catch_up(vnis).await }))
    }

    async fn sandbox(&self, container: &Container) -> Result<Sandbox> {
        self.network.sandbox(&sandbox_request(container, &container.endpoints(), &container.state().ports)).await
    }

    /// The root file system as the tenant sees it; and its user, unless the record's spec has it already.
    async fn root(&self, container: &Container, turn: &mut Turn) -> Result<(Vec<Mount>, Option<User>)> {
        let accepted = &container.accepted;
        if turn.mounts.is_empty() {
            turn.mounts = self.containerd.mounts(container.id()).await?;
        }
        let snapshots = snapshots_dir(&turn.mounts)?;
        let view = self.idmap.view(accepted.tenant, accepted.uid_base, "snapshots", Path::new(&snapshots)).await?;
        let layers = layers(&turn.mounts);
        // A container that wrote to its own /etc may have other users than its image.
        let own_accounts = layers.first().is_none_or(|upper| upper.join("etc").exists());
        let user = match turn.declared && !own_accounts {
            true => None,
            false => Some(self.user(container, layers, own_accounts).await?),
        };
        Ok((idmap::rewrite(&turn.mounts, &snapshots, &view), user))
    }

    async fn user(&self, container: &Container, layers: Vec<PathBuf>, own_accounts: bool) -> Result<User> {
        let spec = &container.accepted.spec;
        let key = spec.image.chain_ids().pop().filter(|_| !own_accounts);
        let known = key.as_ref().and_then(|key| self.accounts.get(key));
        let accounts = match known {
            Some(known) => known,
            None => {
                let read = tokio::task::spawn_blocking(move || Arc::new(Accounts::of_layers(&layers)));
                read.await.map_err(|e| Error::because("accounts of an image", e))?
            }
        };
        if let Some(key) = key {
            self.accounts.keep(key, accounts.clone());
        }
        accounts.resolve(&spec.process.user, &spec.process.group_add)
    }

    /// The runtime spec at create, where nothing must be read for it: saves the start an update of the record.
    pub(super) fn spec_ahead(&self, container: &Container) -> Result<Option<Vec<u8>>> {
        let accepted = &container.accepted;
        let known = accepted.spec.image.chain_ids().pop().and_then(|key| self.accounts.get(&key));
        // A user that does not exist is the start's error, as with dockerd.
        let process = &accepted.spec.process;
        let Some(Ok(user)) = known.map(|a| a.resolve(&process.user, &process.group_add)) else { return Ok(None) };
        self.spec(container, &self.network.paths(&accepted.id), &user).map(Some)
    }

    fn spec(&self, container: &Container, sandbox: &Sandbox, user: &User) -> Result<Vec<u8>> {
        let accepted = &container.accepted;
        let context = Context {
            tenant: accepted.tenant,
            id: container.id(),
            uid_base: accepted.uid_base,
            user,
            user_ns: &sandbox.user_ns,
            net_ns: &sandbox.net_ns,
            dir: &container.dir,
            cgroup_parent: &self.config.cgroup_parent,
            helpers: &self.config.helpers,
            volumes: &self.volume_sources(accepted)?,
        };
        spec::build(&container.spec(), &context).map(|spec| rpc::to_json(&spec))
    }

    /// The record gets the runtime spec, and says that a run is wanted. A spec that was written ahead is good for every
    /// run with the same user; the wish is then stored with the start (adoption takes a task for a wish).
    async fn declare(
        &self,
        container: &Container,
        turn: &mut Turn,
        sandbox: &Sandbox,
        user: Option<User>,
    ) -> Result<()> {
        let Some(user) = user else { return Ok(()) };
        let spec = self.spec(container, sandbox, &user)?;
        let mut stored = container.stored.lock().await;
        let state = container.state();
        self.containerd.update_record(container.id(), rpc::to_json(&state), Some(spec)).await?;
        *stored = state.observation.generation;
        turn.declared = true;
        Ok(())
    }

    async fn create_task(&self, container: &Arc<Container>, turn: &Turn, rootfs: Vec<Mount>) -> Result<u32, Failure> {
        debug_assert!(turn.run.is_none(), "one task at a time");
        let spec = &container.accepted.spec;
        let paths = container.paths();
        let (terminal, io_owner) = (spec.process.tty, container.accepted.uid_base);
        let mut new = NewTask { id: container.id(), rootfs, terminal, io_owner, ..Default::default() };
        // Kept until the shim has opened the FIFOs.
        let mut _logger = None;
        if spec.stdin_open {
            new.stdin = paths.stdin.to_string_lossy().into_owned();
        }
        if spec.stdin_open && !terminal {
            let logger = stdio::start_logger(&self.config.helpers, &paths, &spec.log).await?;
            new.stdout = logger.stdout.to_string_lossy().into_owned();
            new.stderr = logger.stderr.to_string_lossy().into_owned();
            _logger = Some(logger);
        } else {
            new.stdout = stdio::log_uri(&self.config.helpers, &paths, &spec.log, terminal, io_owner);
            new.stderr = if terminal { String::new() } else { new.stdout.clone() };
        }
        let _slot = self.slots.acquire().await;
        self.containerd.create_task(new).await.map_err(|e| self.failure("create", e))
    }

    /// Whatever of a failed run is there.
    async fn undo(&self, container: &Container, turn: &mut Turn) {
        if turn.run.take().is_some() {
            let _ = self.containerd.kill(container.id(), None, domain::Signal::KILL, true).await;
            let _ = self.containerd.wait(container.id(), None).await;
        }
        if let Err(error) = self.containerd.delete_task(container.id()).await {
            tracing::warn!(container = container.id(), error = error.operator_text(), "task of a failed start");
        }
        self.network.release(&container.accepted.id).await;
        if let Err(error) = container.renew_stdin() {
            tracing::warn!(container = container.id(), error = error.operator_text(), "stdin after a failed start");
        }
    }

    /// dockerd's words and exit codes. What names a path of this host is a defect of ours and stays in the log.
    fn failure(&self, step: &str, error: RunError) -> Failure {
        let text = match error {
            RunError::Failed(error) => return error.into(),
            RunError::Gone => return Error::internal(format!("{step}: the task is gone")).into(),
            RunError::Runtime(text) => text,
        };
        let (exit_code, tenants) = match &text {
            t if t.contains("permission denied") || t.contains("is a directory") => (126, true),
            t if t.contains("executable file not found") || t.contains("no such file or directory") => (127, true),
            t if t.contains("not a directory") => (127, true),
            _ => (128, text.contains("unable to start container process")),
        };
        let whole = format!("failed to {step} task for container: {text}");
        let error = match tenants && !self.names_this_host(&text) {
            true => Error::invalid(whole),
            false => Error::internal(whole),
        };
        Failure { exit_code, error }
    }

    fn names_this_host(&self, text: &str) -> bool {
        let own = [&self.config.root, &self.config.run, &self.config.helpers];
        own.iter().any(|path| text.contains(&*path.to_string_lossy()))
            || text.contains("/snapshots/")
            || text.contains("/io.containerd.")
    }
}

/// What the network plane must know of it; it takes only the sysctls of the network namespace.
pub(super) fn sandbox_request<'a>(
    container: &'a Container,
    endpoints: &'a [Endpoint],
    published: &'a [HostPort],
) -> SandboxRequest<'a> {
    let accepted = &container.accepted;
    SandboxRequest {
        tenant: accepted.tenant,
        uid_base: accepted.uid_base,
        container: &accepted.id,
        name: &accepted.name,
        endpoints,
        published,
        dns: &accepted.spec.dns,
        sysctls: &accepted.spec.sysctls,
    }
}

/// Where a start spends its time, for the log.
struct Laps {
    last: Instant,
    text: String,
}

impl Laps {
    fn begin() -> Self {
        Self { last: Instant::now(), text: String::new() }
    }

    fn lap(&mut self, step: &str) {
        let now = Instant::now();
        let ms = (now - std::mem::replace(&mut self.last, now)).as_secs_f64() * 1e3;
        self.text.push_str(&format!("{step}={ms:.1}ms "));
    }
}

impl std::fmt::Display for Laps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text.trim_end())
    }
}

impl AccountsCache {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<Accounts>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn get(&self, key: &Digest) -> Option<Arc<Accounts>> {
        self.lock().get(key).cloned()
    }

    fn keep(&self, key: Digest, accounts: Arc<Accounts>) {
        let mut cache = self.lock();
        if cache.len() >= ACCOUNTS_MAX {
            cache.clear();
        }
        cache.insert(key, accounts);
    }
}

/// The directories of an overlay from the top down; of a bind its one directory.
pub(super) fn layers(mounts: &[Mount]) -> Vec<PathBuf> {
    let Some(mount) = mounts.first() else { return Vec::new() };
    if mount.r#type == "bind" {
        return vec![PathBuf::from(&mount.source)];
    }
    let option = |name: &str| mount.options.iter().find_map(|o| o.strip_prefix(name));
    let lower = option("lowerdir=").unwrap_or_default().split(':');
    option("upperdir=").into_iter().chain(lower).filter(|p| !p.is_empty()).map(PathBuf::from).collect()
}
