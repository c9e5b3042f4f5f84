//! A run ends. Several sources say so (the task's waiter, containerd's events, a reconciliation); the first one counts.
//!
//! Waiters are answered before anything is cleaned up: `docker run --rm` ends when the container is logically gone, and
//! not 20 ms later when its shim is. A crash in between loses nothing: the ended task is still there, with its exit code.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::Utc;
use domain::{Happening, Observation, Status};

use super::{
    Container, Engine,
    container::{Run, Turn},
    restart_policy::restarts,
    state::State,
};
use crate::containerd::{Event, Exit};

/// While containerd is away.
const RETRY: Duration = Duration::from_millis(300);
/// A task that vanished was ended by somebody; its event may be under way.
const EVENT_GRACE: Duration = Duration::from_secs(2);
/// The shim was killed, and with it what it knew.
const LOST_CODE: i32 = 137;

/// What follows an exit.
enum Next {
    Stay,
    Restart(Duration),
    Remove,
}

impl Engine {
    /// Reports the end of the run `pid` from a task of its own, over restarts of containerd.
    pub(super) fn watch_exit(self: &Arc<Self>, container: &Arc<Container>, pid: u32) {
        let (engine, container) = (self.clone(), container.clone());
        tokio::spawn(async move {
            let exit = loop {
                match engine.containerd.wait(container.id(), None).await {
                    Ok(Some(exit)) => break exit,
                    Ok(None) => {
                        tokio::time::sleep(EVENT_GRACE).await;
                        break Exit { code: LOST_CODE, at: Utc::now() };
                    }
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            };
            engine.ended(&container, pid, exit).await;
        });
    }

    /// An event of containerd's.
    pub(super) fn event(self: &Arc<Self>, event: Event) {
        match event {
            Event::OutOfMemory { container } => {
                if let Some(container) = self.by_name(&container) {
                    self.out_of_memory(&container);
                }
            }
            Event::Exited { container, exec: None, pid, exit } => {
                if let Some(container) = self.by_name(&container) {
                    let engine = self.clone();
                    tokio::spawn(async move { engine.ended(&container, pid, exit).await });
                }
            }
            Event::Exited { container, exec: Some(exec), exit, .. } => self.exec_event(&container, &exec, exit),
        }
    }

    /// Told once for a run, and while it goes on: after it, a change would look like somebody's doing.
    fn out_of_memory(&self, container: &Container) {
        if container.oom.swap(true, Ordering::AcqRel) {
            return;
        }
        let runs = |state: &State| matches!(state.status(), Status::Running | Status::Paused);
        if let Some(told) = container.change_if(runs, |state| state.happened(Utc::now(), "oom", [])) {
            self.reports.container(told);
        }
    }

    pub(super) fn by_name(&self, id: &str) -> Option<Arc<Container>> {
        self.get(&id.parse().ok()?)
    }

    /// The one reducer. A run that is over already, or was never ours, is nothing new.
    pub(super) async fn ended(self: &Arc<Self>, container: &Arc<Container>, pid: u32, exit: Exit) {
        let mut turn = container.turn.lock().await;
        let Some(run) = turn.run.take_if(|run| run.pid == pid) else { return };
        let next = self.next(container, &mut turn, &run, exit);
        // Before anybody hears of the exit: who attaches then means the next run.
        if !matches!(next, Next::Remove)
            && let Err(error) = container.renew_stdin()
        {
            tracing::warn!(container = container.id(), error = error.operator_text(), "stdin for the next run");
        }
        // Who lists the container right after its end sees what it has written.
        let size = if matches!(next, Next::Stay) { self.size_at_exit(container, &turn).await } else { None };
        let observation = self.observe_exit(container, exit, &next, size);
        self.clean_run(container, &next).await;
        match next {
            Next::Stay => {}
            Next::Restart(delay) => self.restart_later(container, delay, observation.generation),
            Next::Remove => self.erase(container, &mut turn).await,
        }
    }

    fn next(&self, container: &Container, turn: &mut Turn, run: &Run, exit: Exit) -> Next {
        let state = container.state();
        let spec = &container.accepted.spec;
        if state.wanted && restarts(container.limits().restart, exit.code, state.observation.restart_count) {
            return Next::Restart(turn.backoff.next(run.since.elapsed()));
        }
        match spec.auto_remove && !container.restarting_by_hand.load(Ordering::Acquire) {
            true => Next::Remove,
            false => Next::Stay,
        }
    }

    fn observe_exit(
        self: &Arc<Self>,
        container: &Arc<Container>,
        exit: Exit,
        next: &Next,
        size_rw_bytes: Option<i64>,
    ) -> Observation {
        let told = container.oom.swap(false, Ordering::AcqRel);
        let oom = told || self.oom_killed(container);
        let by_hand = container.stopping.load(Ordering::Acquire);
        let observation = container.change(|state| {
            if oom && !told {
                state.happened(exit.at, "oom", []);
            }
            tell_exit(state, exit, by_hand);
            let o = &mut state.observation;
            (o.pid, o.exit_code, o.oom_killed, o.finished_at) = (0, exit.code, oom, Some(exit.at));
            o.size_rw_bytes = size_rw_bytes.or(o.size_rw_bytes);
            match next {
                Next::Restart(_) => {
                    o.status = Status::Restarting;
                    o.restart_count += 1;
                }
                Next::Stay => {
                    o.status = Status::Exited;
                    state.wanted = false;
                }
                Next::Remove => {
                    o.status = Status::Exited;
                    o.removed = true;
                }
            }
            state.last_exit = Some(state.observation.clone());
        });
        if observation.removed {
            self.announce_gone(container, &observation);
        }
        self.reports.container(observation.clone());
        observation
    }

    /// The exit is in the record before the task, which is the other witness, goes away.
    async fn clean_run(self: &Arc<Self>, container: &Arc<Container>, next: &Next) {
        if !matches!(next, Next::Remove)
            && let Err(error) = self.store(container).await
        {
            tracing::warn!(container = container.id(), error = error.operator_text(), "exit not stored, task kept");
            return;
        }
        let (deleted, ()) = tokio::join!(self.delete_task(container), self.network.release(&container.accepted.id));
        if let Err(error) = deleted {
            tracing::warn!(container = container.id(), error = error.operator_text(), "task of an ended run");
        }
    }

    pub(super) async fn delete_task(&self, container: &Container) -> domain::Result<()> {
        let _slot = self.slots.acquire().await;
        self.containerd.delete_task(container.id()).await
    }

    pub(super) fn restart_later(self: &Arc<Self>, container: &Arc<Container>, delay: Duration, generation: u64) {
        let (engine, container) = (self.clone(), container.clone());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            engine.restart_by_policy(&container, generation).await;
        });
    }

    /// Unless somebody did something to it in the meantime.
    async fn restart_by_policy(self: &Arc<Self>, container: &Arc<Container>, generation: u64) {
        let mut turn = container.turn.lock().await;
        let state = container.state();
        if state.status() != Status::Restarting || state.observation.generation != generation {
            return;
        }
        let Err(error) = self.launch(container, &mut turn).await else { return };
        tracing::warn!(container = container.id(), error = error.operator_text(), "restart failed");
        // The host's troubles pass; a command that cannot run never will.
        let again = matches!(error, domain::Error::Unavailable { .. } | domain::Error::Internal { .. });
        let delay = turn.backoff.next(Duration::ZERO);
        let observation = container.change(|state| {
            state.wanted = again;
            state.observation.status = if again { Status::Restarting } else { Status::Exited };
        });
        self.reports.container(observation.clone());
        self.store_later(container);
        if again {
            self.restart_later(container, delay, observation.generation);
        }
    }

    /// What the kernel says, where the event was lost or is late. The cgroup is there until the task is deleted.
    fn oom_killed(&self, container: &Container) -> bool {
        let path = crate::spec::cgroup_path(&self.config.cgroup_parent, container.accepted.tenant, container.id());
        let v1 = format!("/sys/fs/cgroup/memory{path}/memory.oom_control");
        let v2 = format!("/sys/fs/cgroup{path}/memory.events");
        let text = std::fs::read_to_string(v1).or_else(|_| std::fs::read_to_string(v2)).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok());
        kills.is_some_and(|kills| kills > 0)
    }
}

/// In dockerd's order.
fn tell_exit(state: &mut State, exit: Exit, by_hand: bool) {
    let ran = state.observation.started_at.map_or(0, |began| (exit.at - began).num_seconds().max(0));
    state.happened(exit.at, Happening::DISCONNECT, []);
    if by_hand {
        state.happened(exit.at, "stop", []);
    }
    state.happened(exit.at, "die", [("execDuration", ran.to_string()), ("exitCode", exit.code.to_string())]);
}
