//! `resize` of a container's terminal, or of an exec's.

use std::sync::Arc;

use domain::{ContainerId, Error, Result, Status, TenantId};

use super::Engine;

impl Engine {
    /// `exec` None: the first process.
    pub async fn resize(
        self: &Arc<Self>,
        tenant: TenantId,
        id: &ContainerId,
        exec: Option<&str>,
        height: u32,
        width: u32,
    ) -> Result<()> {
        let container = self.find(tenant, id)?;
        if !matches!(container.status(), Status::Running | Status::Paused) {
            return Err(Error::conflict(format!("container {id} is not running")));
        }
        self.containerd.resize(id.as_str(), exec, height, width).await
    }
}
