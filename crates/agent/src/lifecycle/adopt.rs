//! An agent takes over what its predecessor left, and catches up after containerd was away.
//!
//! Subscribe first, then list: events are not replayed, and what happens between the two comes twice, which is harmless.
//! Nothing that runs is touched. An exit of the gap is read from its task, which keeps code and time until it is deleted.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use domain::{Happening, Result, Signal, Status};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    Accepted, Container, Engine,
    container::{Run, Turn},
    launch::sandbox_request,
    state::State,
};
use crate::{
    containerd::{Exit, Record, Task, TaskState},
    stdio,
};

const RETRY: Duration = Duration::from_millis(200);
/// dockerd's code for a container that a reboot ended.
const LOST_CODE: i32 = 255;
/// Keys of layers that are being unpacked.
const UNPACK_PREFIX: &str = "unpack-";

impl Engine {
    /// Follows containerd's events until `stop`; adopts at the first connection, reconciles at each later one.
    pub async fn follow_events(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let followed = tokio::select! {
                followed = self.follow_once() => followed,
                () = stop.cancelled() => return,
            };
            if let Err(error) = followed {
                tracing::warn!(error = error.operator_text(), "containerd is away");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Resolves once the containers of this host are known.
    pub async fn until_adopted(&self) {
        let mut adopted = self.adopted.subscribe();
        let _ = adopted.wait_for(|adopted| *adopted).await;
    }

    async fn follow_once(self: &Arc<Self>) -> Result<()> {
        let mut events = self.containerd.subscribe().await?;
        let tasks = self.containerd.list_tasks().await?;
        if *self.adopted.borrow() {
            self.reconcile(tasks).await;
        } else {
            self.adopt_all(tasks).await?;
            self.adopted.send_replace(true);
        }
        while let Some(event) = events.next().await {
            self.event(event);
        }
        Ok(())
    }

    async fn adopt_all(self: &Arc<Self>, tasks: Vec<Task>) -> Result<()> {
        let started = Instant::now();
        self.volumes.forget_subpaths();
        let records = self.containerd.list_records().await?;
        let mut tasks: HashMap<String, Task> = tasks.into_iter().map(|t| (t.id.clone(), t)).collect();
        let mut adoptions = Vec::new();
        for record in records {
            let task = tasks.remove(&record.id);
            let Some(container) = self.recall(record) else { continue };
            let engine = self.clone();
            adoptions.push(async move { engine.adopt(&container, task).await });
        }
        for orphan in tasks.into_values() {
            tracing::warn!(task = orphan.id, "a task without a record of ours is left alone");
        }
        let count = adoptions.len();
        futures::stream::iter(adoptions).buffer_unordered(8).collect::<Vec<()>>().await;
        self.sweep().await?;
        tracing::info!(containers = count, ms = started.elapsed().as_millis(), "adopted");
        Ok(())
    }

    /// A container as its record tells it.
    fn recall(&self, record: Record) -> Option<Arc<Container>> {
        let parsed = rpc::json::<Accepted>(&record.accepted, "accepted")
            .and_then(|accepted| Ok((accepted, rpc::json::<State>(&record.state, "state")?)));
        let (accepted, state) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                tracing::error!(container = record.id, error = error.operator_text(), "record of another version");
                return None;
            }
        };
        let (dir, run_dir) = (self.config.container_dir(&record.id), self.config.container_run_dir(&record.id));
        let container = self.insert(Container::new(accepted, state, dir, run_dir));
        container.set_made();
        Some(container)
    }

    async fn adopt(self: &Arc<Self>, container: &Arc<Container>, task: Option<Task>) {
        let _ = tokio::fs::create_dir_all(&container.run_dir).await;
        let mut turn = container.turn.lock().await;
        match task.map(|task| (task.pid, task.state)) {
            Some((pid, TaskState::Running)) => self.adopt_running(container, &mut turn, pid, Status::Running).await,
            Some((pid, TaskState::Paused)) => self.adopt_running(container, &mut turn, pid, Status::Paused).await,
            Some((pid, TaskState::Stopped(exit))) => self.adopt_ended(container, turn, pid, exit).await,
            Some((_, TaskState::Created)) => self.adopt_half_started(container).await,
            None => self.adopt_without_task(container, turn).await,
        }
    }

    async fn adopt_running(self: &Arc<Self>, container: &Arc<Container>, turn: &mut Turn, pid: u32, status: Status) {
        let known = container.state();
        let status = if container.thaw_leftover(pid) { Status::Running } else { status };
        let stdin = container.adopt_stdin();
        stdio_trouble(container, stdin);
        if let Err(error) =
            self.network.adopt(&sandbox_request(container, &container.endpoints(), &container.state().ports)).await
        {
            tracing::warn!(container = container.id(), error = error.operator_text(), "network of a running container");
        }
        turn.run = Some(Run { pid, since: began(pid), health: None });
        // The predecessor may have died between the start and the note of it.
        let unknown_start = !known.status().is_running();
        container.change(|state| {
            let o = &mut state.observation;
            (o.status, o.pid) = (status, pid);
            if unknown_start {
                let began = began_at(pid);
                (o.started_at, o.finished_at, o.exit_code) = (Some(began), None, 0);
                o.health = super::health::at_start(&container.accepted.spec);
                state.wanted = true;
                state.happened(began, Happening::CONNECT, []);
                state.happened(began, "start", []);
            }
        });
        container.announce_start();
        self.watch_exit(container, pid);
        self.adopt_execs(container);
        stdio::drain_leftovers(&super::health::probes_dir(container));
        self.begin_health(container, turn);
        self.store_later(container);
    }

    /// It ended while nobody looked.
    async fn adopt_ended(
        self: &Arc<Self>,
        container: &Arc<Container>,
        mut turn: tokio::sync::MutexGuard<'_, Turn>,
        pid: u32,
        exit: Exit,
    ) {
        turn.run = Some(Run { pid, since: Instant::now(), health: None });
        drop(turn);
        if !container.status().is_running() {
            // The predecessor died between the start and the note of it: somebody wanted this run.
            container.change(|state| {
                state.wanted = true;
                state.observation.started_at = Some(exit.at);
                state.happened(exit.at, Happening::CONNECT, []);
                state.happened(exit.at, "start", []);
            });
        }
        self.ended(container, pid, exit).await;
    }

    /// Made, and never started: the client's start failed with its agent, and nobody waits for this one.
    async fn adopt_half_started(self: &Arc<Self>, container: &Arc<Container>) {
        let _ = self.containerd.kill(container.id(), None, Signal::KILL, true).await;
        let _ = self.containerd.wait(container.id(), None).await;
        if let Err(error) = self.containerd.delete_task(container.id()).await {
            tracing::warn!(container = container.id(), error = error.operator_text(), "half-started task");
        }
        self.network.release(&container.accepted.id).await;
        container.change(|state| state.wanted = false);
        stdio_trouble(container, container.renew_stdin());
        self.store_later(container);
    }

    async fn adopt_without_task(
        self: &Arc<Self>,
        container: &Arc<Container>,
        mut turn: tokio::sync::MutexGuard<'_, Turn>,
    ) {
        let state = container.state();
        let auto_remove = container.accepted.spec.auto_remove;
        match state.status() {
            // The host was rebooted, or the task deleted behind our back.
            Status::Running | Status::Paused => {
                let pid = state.observation.pid;
                turn.run = Some(Run { pid, since: Instant::now(), health: None });
                drop(turn);
                self.ended(container, pid, Exit { code: LOST_CODE, at: Utc::now() }).await;
            }
            Status::Restarting => {
                stdio_trouble(container, container.renew_stdin());
                let delay = turn.backoff.next(Duration::ZERO);
                self.restart_later(container, delay, state.observation.generation);
            }
            // Its task was deleted, but not yet the rest.
            _ if auto_remove && (state.wanted || state.observation.started_at.is_some()) => {
                self.remove_in_turn(container, &mut turn).await;
            }
            _ => stdio_trouble(container, container.renew_stdin()),
        }
    }

    /// What a crash left half-made or half-removed.
    async fn sweep(&self) -> Result<()> {
        let known: HashSet<String> = self.all().iter().map(|c| c.id().to_owned()).collect();
        for key in self.containerd.active_snapshots().await? {
            let orphan =
                key.starts_with(UNPACK_PREFIX) || key.parse::<domain::ContainerId>().is_ok() && !known.contains(&key);
            if orphan {
                self.containerd.remove_snapshot(&key).await?;
            }
        }
        for dir in [self.config.container_dir(""), self.config.container_run_dir("")] {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if !entry.file_name().to_str().is_some_and(|name| known.contains(name)) {
                    let _ = std::fs::remove_dir_all(entry.path());
                }
            }
        }
        let known = known.iter().filter_map(|id| id.parse().ok()).collect();
        self.network.retain(&known).await;
        Ok(())
    }

    /// containerd is back: its tasks may have ended without us.
    async fn reconcile(self: &Arc<Self>, tasks: Vec<Task>) {
        let tasks: HashMap<String, Task> = tasks.into_iter().map(|t| (t.id.clone(), t)).collect();
        for container in self.all() {
            let Some(pid) = container.turn.lock().await.run.as_ref().map(|run| run.pid) else { continue };
            let exit = match tasks.get(container.id()).map(|t| t.state) {
                Some(TaskState::Stopped(exit)) => exit,
                Some(_) => continue,
                // The list is older than the task, or the task is gone and its waiter will say so.
                None => continue,
            };
            self.ended(&container, pid, exit).await;
        }
    }
}

fn stdio_trouble(container: &Container, result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!(container = container.id(), error = error.operator_text(), "stdin of an adopted container");
    }
}

/// When a process began, by the clock of restart policies.
fn began(pid: u32) -> Instant {
    let age = age(pid).unwrap_or_default();
    Instant::now().checked_sub(age).unwrap_or_else(Instant::now)
}

fn began_at(pid: u32) -> DateTime<Utc> {
    Utc::now() - age(pid).unwrap_or_default()
}

fn age(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks: f64 = stat[stat.rfind(')')? + 1..].split_whitespace().nth(19)?.parse().ok()?;
    let uptime: f64 = std::fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(uptime - ticks / 100.0).ok()
}
