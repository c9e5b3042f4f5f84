//! `update`: other limits and another restart policy, for the run that goes on and for every later one.
//!
//! What was accepted stays as it is in the record; the update is part of the state beside it, so that one write of the
//! record makes it durable. A cgroup that was changed is changed back when that write fails.

use std::sync::Arc;

use domain::{ContainerId, Error, Kind, Result, TenantId};

use super::{Container, Done, Engine, state::Limits};
use crate::{containerd::RunError, spec};

impl Engine {
    /// # Errors
    /// `Conflict` where the kernel cannot hold the running container to its new limits; nothing has changed then.
    pub async fn update(self: &Arc<Self>, tenant: TenantId, id: &ContainerId, limits: Limits) -> Result<Done> {
        let container = self.find(tenant, id)?;
        let mut turn = container.turn.lock().await;
        if container.observation().removed {
            return Err(Error::not_found(Kind::Container, id.as_str()));
        }
        let before = container.limits();
        let is_live = turn.run.is_some() && before.resources != limits.resources;
        if is_live {
            self.limit(&container, &limits).await?;
        }
        let observation = container.change(|state| state.limits = Some(limits));
        if let Err(error) = self.store(&container).await {
            container.change(|state| state.limits = Some(before.clone()));
            if is_live && let Err(error) = self.limit(&container, &before).await {
                tracing::error!(container = container.id(), error = error.operator_text(), "an update was not undone");
            }
            return Err(error);
        }
        // The record's runtime spec has the old ones.
        turn.declared = false;
        self.reports.container(observation.clone());
        Ok(Done::now(observation))
    }

    /// Applies them to the cgroup of the running task.
    async fn limit(&self, container: &Container, limits: &Limits) -> Result<()> {
        let resources = spec::live_limits(&limits.resources)?;
        match self.containerd.update_task(container.id(), &resources).await {
            // It has ended: the next run takes the limits from the state.
            Ok(()) | Err(RunError::Gone) => Ok(()),
            Err(RunError::Failed(error)) => Err(error),
            Err(RunError::Runtime(text)) => Err(refused(&text)),
        }
    }
}

/// runc's own words where they are about the limit; everything else is a defect of ours.
fn refused(text: &str) -> Error {
    match text.split_once("unable to set memory limit") {
        Some((_, why)) => Error::conflict(format!("unable to set memory limit{}", why.trim_end_matches(": unknown"))),
        None => Error::internal(format!("update of a task: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_below_what_is_used_is_the_tenants_conflict() {
        let text = "runc did not terminate successfully: exit status 1: unable to set memory limit to 6291456 (current \
            usage: 9000000, peak usage: 9500000): unknown";
        let error = refused(text);
        assert!(matches!(&error, Error::Conflict(_)), "{error}");
        assert!(error.to_string().ends_with("peak usage: 9500000)"), "{error}");
        assert!(matches!(refused("openat /sys/fs/cgroup/cpu/x"), Error::Internal { .. }));
    }
}
