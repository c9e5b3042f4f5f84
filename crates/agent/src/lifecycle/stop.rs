//! `stop`: the stop signal, a grace period, SIGKILL. The turn is free during the grace, so that a kill gets through.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::Utc;
use domain::{ContainerId, Error, Observation, Result, Signal, Status, TenantId};

use super::{Container, Done, Engine, container::Turn};

/// After SIGKILL only a process in uninterruptible sleep is still there.
const KILL_GRACE: Duration = Duration::from_secs(10);

impl Engine {
    pub async fn stop(
        self: &Arc<Self>,
        tenant: TenantId,
        id: &ContainerId,
        signal: Option<Signal>,
        timeout_s: Option<i32>,
    ) -> Result<Done> {
        let container = self.find(tenant, id)?;
        self.stop_container(&container, signal, timeout_s).await
    }

    pub(super) async fn stop_container(
        self: &Arc<Self>,
        container: &Arc<Container>,
        signal: Option<Signal>,
        timeout_s: Option<i32>,
    ) -> Result<Done> {
        container.stopping.store(true, Ordering::Release);
        let stopped = self.signal_and_wait(container, signal, timeout_s).await;
        container.stopping.store(false, Ordering::Release);
        stopped
    }

    async fn signal_and_wait(
        self: &Arc<Self>,
        container: &Arc<Container>,
        signal: Option<Signal>,
        timeout_s: Option<i32>,
    ) -> Result<Done> {
        let before = {
            let mut turn = container.turn.lock().await;
            let state = container.state();
            match state.status() {
                Status::Running | Status::Paused => {}
                Status::Restarting => return self.give_up_restart(container).await,
                _ => return Ok(Done::already(state.observation)),
            }
            self.no_longer_wanted(container).await?;
            self.send(container, &mut turn, signal.unwrap_or(container.accepted.spec.stop_signal)).await?;
            state.observation.generation
        };
        let grace = timeout_s.unwrap_or(container.accepted.spec.stop_timeout_s);
        let grace = u64::try_from(grace).ok().map(Duration::from_secs);
        match exited(container, before, grace).await {
            Some(exit) => Ok(Done::now(exit)),
            None => self.kill_and_wait(container, before).await.map(Done::now),
        }
    }

    /// SIGKILL, and the exit that it causes.
    pub(super) async fn kill_and_wait(
        self: &Arc<Self>,
        container: &Arc<Container>,
        before: u64,
    ) -> Result<Observation> {
        {
            let mut turn = container.turn.lock().await;
            if turn.run.is_some() {
                self.send(container, &mut turn, Signal::KILL).await?;
            }
        }
        self.until_killed(container, before).await
    }

    /// SIGKILL has been sent.
    pub(super) async fn until_killed(&self, container: &Arc<Container>, before: u64) -> Result<Observation> {
        let exit = exited(container, before, Some(KILL_GRACE)).await;
        exit.ok_or_else(|| Error::unavailable("the container's processes do not end, try again"))
    }

    /// A restart policy that waits for its next try is called off.
    async fn give_up_restart(self: &Arc<Self>, container: &Arc<Container>) -> Result<Done> {
        let observation = container.change(|state| {
            state.wanted = false;
            state.observation.status = Status::Exited;
            state.happened(Utc::now(), "stop", []);
        });
        self.reports.container(observation.clone());
        self.store(container).await?;
        Ok(Done::now(observation))
    }

    /// In the record before the signal goes out: a restart policy must not undo a stop over which we crashed.
    pub(super) async fn no_longer_wanted(&self, container: &Container) -> Result<()> {
        if container.state().wanted {
            container.change(|state| state.wanted = false);
            self.store(container).await?;
        }
        Ok(())
    }

    /// A frozen process gets its signal when it thaws, so a paused container is resumed as dockerd does.
    pub(super) async fn send(&self, container: &Container, _turn: &mut Turn, signal: Signal) -> Result<bool> {
        let at = Utc::now();
        let there = self.containerd.kill(container.id(), None, signal, false).await?;
        // Whoever reads its layer reads on; dockerd too resumes what is signalled.
        container.thaw();
        if there {
            let told = container.change(|state| state.happened(at, "kill", [("signal", signal.0.to_string())]));
            self.reports.container(told);
        }
        if there && container.status() == Status::Paused {
            match self.containerd.resume(container.id()).await {
                // runc thaws what it kills: there may be nobody left to resume.
                Err(_) if signal == Signal::KILL => {}
                resumed => resumed?,
            }
            let observation = container.change(|state| {
                state.observation.status = Status::Running;
                state.happened(Utc::now(), "unpause", []);
            });
            self.reports.container(observation);
        }
        Ok(there)
    }
}

/// The exit after the generation `before`; None when `grace` ends first. No grace: waits for ever.
pub(super) async fn exited(container: &Container, before: u64, grace: Option<Duration>) -> Option<Observation> {
    let mut watch = container.watch();
    let exit = async move {
        let state = watch.wait_for(|state| state.exit_after(before).is_some()).await.ok()?;
        state.exit_after(before).cloned()
    };
    match grace {
        Some(grace) => tokio::time::timeout(grace, exit).await.ok().flatten(),
        None => exit.await,
    }
}
