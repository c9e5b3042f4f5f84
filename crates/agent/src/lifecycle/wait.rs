//! `wait`: answers when a condition holds. It never takes a turn, and dropping the future is all that ends it early.

use std::sync::Arc;

use domain::{ContainerId, Error, Kind, Observation, Result, TenantId};

use super::{Engine, state::State};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    NotRunning,
    /// An exit after this generation; 0: after now.
    NextExit(u64),
    Removed,
}

impl Engine {
    pub async fn wait(
        self: &Arc<Self>,
        tenant: TenantId,
        id: &ContainerId,
        condition: Condition,
    ) -> Result<Observation> {
        let container = match self.find(tenant, id) {
            Ok(container) => container,
            // It went while its client was reconnecting.
            Err(Error::NotFound { .. }) => {
                return self.last_seen(tenant, id).ok_or_else(|| Error::not_found(Kind::Container, id.as_str()));
            }
            Err(error) => return Err(error),
        };
        let mut watch = container.watch();
        let after = match condition {
            Condition::NextExit(0) => watch.borrow().observation.generation,
            Condition::NextExit(after) => after,
            _ => 0,
        };
        let holds = |state: &State| {
            state.observation.removed
                || match condition {
                    Condition::NotRunning => !state.status().is_running(),
                    Condition::NextExit(_) => state.exit_after(after).is_some(),
                    Condition::Removed => false,
                }
        };
        let state = watch.wait_for(holds).await.map_err(|e| Error::because("container's state", e))?;
        let exit = state.exit_after(after).filter(|_| matches!(condition, Condition::NextExit(_)));
        Ok(exit.unwrap_or(&state.observation).clone())
    }
}
