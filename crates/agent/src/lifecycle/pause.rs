//! `pause` and `unpause`: the freezer cgroup.

use std::sync::Arc;

use chrono::Utc;
use domain::{ContainerId, Error, Result, Status, TenantId};

use super::{Done, Engine};

impl Engine {
    pub async fn pause(self: &Arc<Self>, tenant: TenantId, id: &ContainerId) -> Result<Done> {
        let container = self.find(tenant, id)?;
        let _turn = container.turn.lock().await;
        match container.status() {
            Status::Running => {}
            Status::Paused => return Err(Error::conflict(format!("container {id} is already paused"))),
            Status::Restarting => {
                return Err(Error::conflict(format!(
                    "Container {id} is restarting, wait until the container is running"
                )));
            }
            _ => return Err(Error::conflict(format!("container {id} is not running"))),
        }
        self.containerd.pause(id.as_str()).await?;
        let observation = container.change(|state| {
            state.observation.status = Status::Paused;
            state.happened(Utc::now(), "pause", []);
        });
        self.reports.container(observation.clone());
        self.store_later(&container);
        Ok(Done::now(observation))
    }

    pub async fn unpause(self: &Arc<Self>, tenant: TenantId, id: &ContainerId) -> Result<Done> {
        let container = self.find(tenant, id)?;
        let _turn = container.turn.lock().await;
        match container.status() {
            Status::Paused => {}
            _ => return Err(Error::conflict(format!("container {id} is not paused"))),
        }
        self.containerd.resume(id.as_str()).await?;
        let observation = container.change(|state| {
            state.observation.status = Status::Running;
            state.happened(Utc::now(), "unpause", []);
        });
        self.reports.container(observation.clone());
        self.store_later(&container);
        Ok(Done::now(observation))
    }
}
