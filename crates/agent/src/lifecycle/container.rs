//! One container in memory.
//!
//! `turn` serialises what changes its task: whoever holds it is the only one that starts, removes or ends a run. It is
//! not held through a grace period, so that a kill reaches a container that is being stopped. Readers and waiters use
//! the watched state and never wait for a turn.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use domain::{ContainerSpec, Endpoint, Observation, Result, Status};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    layer::LayerState,
    restart_policy::Backoff,
    size::Sizing,
    state::{Accepted, Limits, State, next_generation},
};
use crate::{
    containerd::Mount,
    stdio::{self, Stdin},
};

const HELPERS_MAX: usize = 8;

pub struct Container {
    pub accepted: Accepted,
    /// Files and log.
    pub dir: PathBuf,
    /// Sockets and FIFOs.
    pub run_dir: PathBuf,
    pub turn: AsyncMutex<Turn>,
    state: watch::Sender<State>,
    /// Generation of the newest state that containerd has.
    pub stored: AsyncMutex<u64>,
    /// False until create has finished: nobody finds it before.
    made: AtomicBool,
    /// The kernel killed a process of the current run.
    pub oom: AtomicBool,
    /// How its size on disk is being measured.
    pub sizing: Sizing,
    /// A restart by hand is under way: auto-remove must not take the container away in the middle.
    pub restarting_by_hand: AtomicBool,
    /// A stop by hand is under way: its exit is told as one.
    pub stopping: AtomicBool,
    /// Attached clients and log readers; the files stay until they are done.
    streams: AtomicUsize,
    /// Bounds how many helpers work on its files at once; the next ones wait.
    pub helpers: Arc<Semaphore>,
    /// Of the current run, or of the next one: `docker run -i` writes before it starts the container.
    stdin: Mutex<Option<Arc<Stdin>>>,
    /// Counts the tasks that were made; attached clients wait for the next one. None once the container is removed.
    starts: Mutex<Option<watch::Sender<u64>>>,
    /// Cancelled when a start failed: attached clients must not wait for a run that never comes.
    failed_start: Mutex<CancellationToken>,
    pub layer: LayerState,
}

/// What only the holder of the turn touches.
#[derive(Default)]
pub struct Turn {
    pub run: Option<Run>,
    pub backoff: Backoff,
    /// The snapshot's mounts as containerd gives them.
    pub mounts: Vec<Mount>,
    /// The record has the runtime spec of the next run.
    pub declared: bool,
}

/// A task that exists.
pub struct Run {
    pub pid: u32,
    pub since: Instant,
    /// Ends with the run.
    pub health: Option<AbortOnDropHandle<()>>,
}

impl Container {
    pub fn new(accepted: Accepted, state: State, dir: PathBuf, run_dir: PathBuf) -> Self {
        Self {
            accepted,
            dir,
            run_dir,
            turn: AsyncMutex::default(),
            state: watch::Sender::new(state),
            stored: AsyncMutex::default(),
            made: AtomicBool::new(false),
            oom: AtomicBool::new(false),
            sizing: Sizing::default(),
            restarting_by_hand: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            helpers: Arc::new(Semaphore::new(HELPERS_MAX)),
            stdin: Mutex::default(),
            starts: Mutex::new(Some(watch::Sender::new(0))),
            failed_start: Mutex::default(),
            layer: LayerState::default(),
        }
    }

    pub fn id(&self) -> &str {
        self.accepted.id.as_str()
    }

    pub fn is_made(&self) -> bool {
        self.made.load(Ordering::Acquire)
    }

    pub fn set_made(&self) {
        self.made.store(true, Ordering::Release);
    }

    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub fn status(&self) -> Status {
        self.state.borrow().status()
    }

    pub fn observation(&self) -> Observation {
        self.state.borrow().observation.clone()
    }

    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Its networks now.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.state.borrow().endpoints.clone().unwrap_or_else(|| self.accepted.endpoints.clone())
    }

    /// As accepted, or as the last update has set them.
    pub fn limits(&self) -> Limits {
        let spec = &self.accepted.spec;
        let accepted = || Limits { resources: spec.resources.clone(), restart: spec.restart };
        self.state.borrow().limits.clone().unwrap_or_else(accepted)
    }

    /// What the next run is made of.
    pub fn spec(&self) -> ContainerSpec {
        let Limits { resources, restart } = self.limits();
        ContainerSpec { resources, restart, ..self.accepted.spec.clone() }
    }

    /// A new size on disk is news, unless something else is about to be told of the container: whoever waits for what
    /// follows a generation must not take this for it. None: nothing new.
    pub fn note_size(&self, bytes: i64) -> Option<Observation> {
        let news = self.state.send_if_modified(|state| {
            let quiet = matches!(state.status(), Status::Created | Status::Running | Status::Paused | Status::Exited);
            let o = &mut state.observation;
            let news = quiet && !o.removed && o.size_rw_bytes.unwrap_or(0) != bytes;
            if news {
                o.generation = next_generation(o.generation);
                o.size_rw_bytes = Some(bytes);
            }
            news
        });
        news.then(|| self.observation())
    }

    /// Applies `change` under the next generation and wakes who waits.
    pub fn change(&self, change: impl FnOnce(&mut State)) -> Observation {
        self.state.send_modify(|state| {
            state.observation.generation = next_generation(state.observation.generation);
            change(state);
        });
        self.observation()
    }

    /// As [`change`](Self::change), where `holds` is true of the present state.
    pub fn change_if(
        &self,
        holds: impl FnOnce(&State) -> bool,
        change: impl FnOnce(&mut State),
    ) -> Option<Observation> {
        let changed = self.state.send_if_modified(|state| {
            let holds = holds(state);
            if holds {
                state.observation.generation = next_generation(state.observation.generation);
                change(state);
            }
            holds
        });
        changed.then(|| self.observation())
    }

    /// Counts a reader of the log until the guard drops.
    pub fn hold_files(self: &Arc<Self>) -> StreamGuard {
        self.streams.fetch_add(1, Ordering::AcqRel);
        StreamGuard(self.clone())
    }

    pub fn has_streams(&self) -> bool {
        self.streams.load(Ordering::Acquire) > 0
    }

    pub fn paths(&self) -> stdio::Paths {
        stdio::paths(&self.dir, &self.run_dir)
    }

    /// The agent's writer of stdin.
    pub fn stdin(&self) -> Option<Arc<Stdin>> {
        lock(&self.stdin).clone()
    }

    /// A fresh FIFO for the next run, where stdin is open at all.
    pub fn renew_stdin(&self) -> Result<()> {
        let fresh = match self.accepted.spec.stdin_open {
            true => Some(Arc::new(Stdin::create(&self.paths().stdin)?)),
            false => None,
        };
        *lock(&self.stdin) = fresh;
        Ok(())
    }

    /// The FIFO of a run that goes on.
    pub fn adopt_stdin(&self) -> Result<()> {
        if self.accepted.spec.stdin_open {
            *lock(&self.stdin) = Some(Arc::new(Stdin::adopt(&self.paths().stdin)?));
        }
        Ok(())
    }

    /// Changes with each task; closed when the container is removed.
    pub fn starts(&self) -> watch::Receiver<u64> {
        match &*lock(&self.starts) {
            Some(starts) => starts.subscribe(),
            None => watch::Sender::new(0).subscribe(),
        }
    }

    /// A task was made: its output can be followed.
    pub fn announce_start(&self) {
        if let Some(starts) = &*lock(&self.starts) {
            starts.send_modify(|count| *count += 1);
        }
    }

    /// There will be no further one.
    pub fn close_starts(&self) {
        lock(&self.starts).take();
    }

    /// Cancelled when the next start fails.
    pub fn next_start_failed(&self) -> CancellationToken {
        lock(&self.failed_start).clone()
    }

    pub fn fail_start(&self) {
        std::mem::take(&mut *lock(&self.failed_start)).cancel();
    }
}

/// See [`Container::hold_files`].
pub struct StreamGuard(Arc<Container>);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
