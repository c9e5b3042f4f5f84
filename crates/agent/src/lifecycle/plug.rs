//! `network connect` and `disconnect` of a container that exists, running or not.
//!
//! What was accepted stays as it is in the record; the endpoints of now are part of the state beside it.

use std::sync::Arc;

use domain::{ContainerId, Endpoint, Error, Kind, NetworkId, Result, TenantId};

use super::{Container, Engine, launch::sandbox_request};

impl Engine {
    /// Idempotent. A link that cannot be made leaves the container as it was.
    pub async fn plug(self: &Arc<Self>, tenant: TenantId, id: &ContainerId, endpoint: Endpoint) -> Result<()> {
        let container = self.find(tenant, id)?;
        let mut turn = container.turn.lock().await;
        let mut endpoints = container.endpoints();
        if endpoints.iter().any(|e| e.network == endpoint.network) {
            return Ok(());
        }
        endpoints.push(endpoint.clone());
        if turn.run.is_some() {
            self.network.connect(&sandbox_request(&container, &endpoints, &container.state().ports), &endpoint).await?;
            self.network.catch_up(vec![endpoint.vni]).await;
        }
        turn.declared = false;
        self.keep_endpoints(&container, endpoints).await
    }

    /// Idempotent.
    pub async fn unplug(self: &Arc<Self>, tenant: TenantId, id: &ContainerId, network: &NetworkId) -> Result<()> {
        let container = self.find(tenant, id)?;
        let mut turn = container.turn.lock().await;
        let (gone, rest): (Vec<_>, Vec<_>) = container.endpoints().into_iter().partition(|e| e.network == *network);
        let Some(gone) = gone.first() else { return Ok(()) };
        if turn.run.is_some() {
            self.network.disconnect(&sandbox_request(&container, &rest, &container.state().ports), gone.vni).await?;
        }
        turn.declared = false;
        self.keep_endpoints(&container, rest).await
    }

    async fn keep_endpoints(&self, container: &Container, endpoints: Vec<Endpoint>) -> Result<()> {
        if container.observation().removed {
            return Err(Error::not_found(Kind::Container, container.id()));
        }
        let observation = container.change(|state| state.endpoints = Some(endpoints));
        self.reports.container(observation);
        self.store(container).await
    }
}
