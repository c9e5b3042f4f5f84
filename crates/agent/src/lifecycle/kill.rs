//! `kill`: one signal to the first process.

use std::sync::Arc;

use domain::{ContainerId, Error, Result, Signal, Status, TenantId};

use super::{Done, Engine};

impl Engine {
    /// SIGKILL answers after the exit, any other signal at once, as dockerd does.
    pub async fn kill(self: &Arc<Self>, tenant: TenantId, id: &ContainerId, signal: Signal) -> Result<Done> {
        let container = self.find(tenant, id)?;
        let not_running = || Error::conflict(format!("container {id} is not running"));
        let before = {
            let mut turn = container.turn.lock().await;
            let state = container.state();
            if !matches!(state.status(), Status::Running | Status::Paused) || turn.run.is_none() {
                return Err(not_running());
            }
            // A signal that means "end" calls off the restart policy; any other one does not.
            if signal == Signal::KILL || signal == container.accepted.spec.stop_signal {
                self.no_longer_wanted(&container).await?;
            }
            if !self.send(&container, &mut turn, signal).await? {
                return Err(not_running());
            }
            state.observation.generation
        };
        match signal {
            Signal::KILL => self.until_killed(&container, before).await.map(Done::now),
            _ => Ok(Done::now(container.observation())),
        }
    }
}
