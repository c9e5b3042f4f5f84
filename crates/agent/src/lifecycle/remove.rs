//! `remove`, by hand, by `--rm`, and because the inventory has forgotten the container.
//!
//! A container is gone once its record is; what takes time (unplugging, deleting files) goes on behind the answer, and
//! adoption finishes it after a crash.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use domain::{ContainerId, Error, Observation, Result, Status, TenantId};

use super::{
    Container, Done, Engine,
    container::Turn,
    state::{State, next_generation},
};

/// How long the files of a removed container wait for clients that still read its last output.
const READERS_GRACE: Duration = Duration::from_secs(60);
const READERS_POLL: Duration = Duration::from_millis(100);

impl Engine {
    /// Idempotent: one that is not there is removed. `force` kills it first.
    pub async fn remove(self: &Arc<Self>, tenant: TenantId, id: &ContainerId, force: bool) -> Result<Done> {
        let container = match self.find(tenant, id) {
            Ok(container) => container,
            Err(Error::NotFound { .. }) if self.get(id).is_none() => return Ok(self.never_here(tenant, id)),
            Err(error) => return Err(error),
        };
        let mut turn = container.turn.lock().await;
        if container.status().is_running() && !force {
            return Err(Error::conflict(still_running(container.status())));
        }
        if turn.run.is_some() {
            let before = container.observation().generation;
            self.no_longer_wanted(&container).await?;
            drop(turn);
            self.kill_and_wait(&container, before).await?;
            turn = container.turn.lock().await;
        }
        if container.state().observation.removed {
            return Ok(Done::now(container.observation())); // --rm was faster
        }
        self.containerd.delete_record(id.as_str()).await?;
        Ok(Done::now(self.remove_in_turn(&container, &mut turn).await))
    }

    /// It is gone for everybody; the rest follows.
    pub(super) async fn remove_in_turn(self: &Arc<Self>, container: &Arc<Container>, turn: &mut Turn) -> Observation {
        let observation = container.change(|state: &mut State| {
            state.wanted = false;
            state.observation.removed = true;
            state.observation.pid = 0;
        });
        self.announce_gone(container, &observation);
        self.reports.container(observation.clone());
        turn.mounts.clear();
        let (engine, container) = (self.clone(), container.clone());
        tokio::spawn(async move {
            let mut turn = container.turn.lock().await;
            engine.erase(&container, &mut turn).await;
        });
        observation
    }

    /// Everything that it has on this host. Its task is gone already.
    pub(super) async fn erase(self: &Arc<Self>, container: &Arc<Container>, _turn: &mut Turn) {
        let id = container.id();
        // Its layers were in use until now.
        drop(self.images.hold(&container.accepted.spec.image));
        self.network.release(&container.accepted.id).await;
        // The record goes before the snapshot: adoption knows a snapshot without a record as an orphan.
        let forgotten = self.containerd.delete_record(id).await;
        let snapshot = self.containerd.remove_snapshot(id).await;
        for error in [forgotten, snapshot].into_iter().filter_map(Result::err) {
            tracing::warn!(container = id, error = error.operator_text(), "left for adoption to clean up");
        }
        let container = container.clone();
        tokio::spawn(async move {
            readers_gone(&container).await;
            for dir in [&container.run_dir, &container.dir] {
                let _ = tokio::fs::remove_dir_all(dir).await;
            }
        });
    }

    fn never_here(&self, tenant: TenantId, id: &ContainerId) -> Done {
        let observation = self.last_seen(tenant, id).unwrap_or_else(|| Observation {
            tenant,
            container: id.clone(),
            generation: next_generation(0),
            status: Status::Exited,
            removed: true,
            pid: 0,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            started_at: None,
            finished_at: Some(Utc::now()),
            restart_count: 0,
            health: None,
            size_rw_bytes: None,
            happenings: Vec::new(),
        });
        Done::already(observation)
    }

    /// The inventory does not know it (any more): nobody can ask for it, so it goes.
    pub async fn forget(self: &Arc<Self>, tenant: TenantId, id: &ContainerId) {
        tracing::info!(container = id.as_str(), "forgotten by the inventory, removing");
        if let Err(error) = self.remove(tenant, id, true).await {
            tracing::warn!(container = id.as_str(), error = error.operator_text(), "not removed");
        }
    }
}

async fn readers_gone(container: &Container) {
    let gone = async {
        while container.has_streams() {
            tokio::time::sleep(READERS_POLL).await;
        }
    };
    let _ = tokio::time::timeout(READERS_GRACE, gone).await;
}

/// dockerd's words; the frontend puts `cannot remove container "/name": ` before them.
fn still_running(status: Status) -> String {
    match status {
        Status::Paused => "container is paused and must be unpaused first".to_owned(),
        other => format!("container is {other}: stop the container before removing or force remove"),
    }
}
