//! `start` and `restart` by hand.

use std::sync::{Arc, atomic::Ordering};

use chrono::Utc;
use domain::{ContainerId, Error, HostPort, Result, Signal, Status, TenantId};

use super::{Container, Done, Engine, container::Turn, launch::CANNOT_START};

impl Engine {
    /// `ports` of this host will lead to it.
    pub async fn start(self: &Arc<Self>, tenant: TenantId, id: &ContainerId, ports: Vec<HostPort>) -> Result<Done> {
        let container = self.find(tenant, id)?;
        let mut turn = container.turn.lock().await;
        self.start_in_turn(&container, &mut turn, ports).await
    }

    /// What the start needs could not be had: it has failed, as one that failed here.
    pub async fn refuse_start(self: &Arc<Self>, tenant: TenantId, id: &ContainerId, why: String) -> Result<Done> {
        let container = self.find(tenant, id)?;
        let mut turn = container.turn.lock().await;
        if let Some(already) = startable(&container)? {
            return Ok(already);
        }
        let error = Error::conflict(why);
        self.record_failure(&container, CANNOT_START, &error);
        self.start_failed(&container, &mut turn).await;
        Err(error)
    }

    /// Stops it if it runs, and starts it.
    pub async fn restart(
        self: &Arc<Self>,
        tenant: TenantId,
        id: &ContainerId,
        signal: Option<Signal>,
        timeout_s: Option<i32>,
        ports: Vec<HostPort>,
    ) -> Result<Done> {
        let container = self.find(tenant, id)?;
        container.restarting_by_hand.store(true, Ordering::Release);
        let stopped = self.stop_container(&container, signal, timeout_s).await;
        let restarted = match stopped {
            Ok(_) => {
                let mut turn = container.turn.lock().await;
                self.start_in_turn(&container, &mut turn, ports).await.map(|_| {
                    let observation = container.change(|state| state.happened(Utc::now(), "restart", []));
                    self.reports.container(observation.clone());
                    Done::now(observation)
                })
            }
            Err(error) => Err(error),
        };
        container.restarting_by_hand.store(false, Ordering::Release);
        restarted
    }

    async fn start_in_turn(
        self: &Arc<Self>,
        container: &Arc<Container>,
        turn: &mut Turn,
        ports: Vec<HostPort>,
    ) -> Result<Done> {
        if let Some(already) = startable(container)? {
            return Ok(already);
        }
        turn.backoff.reset();
        container.change(|state| {
            state.wanted = true;
            state.observation.restart_count = 0;
            state.ports = ports;
        });
        match self.launch(container, turn).await {
            Ok(observation) => Ok(Done::now(observation)),
            Err(error) => {
                self.start_failed(container, turn).await;
                Err(error)
            }
        }
    }

    /// A container of `--rm` that never ran goes away as one that has run.
    async fn start_failed(self: &Arc<Self>, container: &Arc<Container>, turn: &mut Turn) {
        container.fail_start();
        let auto_remove = container.accepted.spec.auto_remove && !container.restarting_by_hand.load(Ordering::Acquire);
        if auto_remove {
            self.remove_in_turn(container, turn).await;
        } else {
            self.store_later(container);
        }
    }
}

/// None: a start may begin. Some: it runs already.
fn startable(container: &Container) -> Result<Option<Done>> {
    let state = container.state();
    match state.status() {
        _ if state.observation.removed => Err(Error::not_found(domain::Kind::Container, container.id())),
        Status::Running | Status::Restarting => Ok(Some(Done::already(state.observation))),
        Status::Paused => Err(Error::conflict("cannot start a paused container, try unpause instead")),
        Status::Removing | Status::Dead => {
            Err(Error::conflict("container is marked for removal and cannot be started"))
        }
        Status::Created | Status::Exited => Ok(None),
    }
}
