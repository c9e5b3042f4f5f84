//! `network connect` and `disconnect` of a container that exists, running or not.
//!
//! What was accepted stays as it is in the record; the endpoints of now are part of the state beside it.

use std::sync::Arc;

use domain::{ContainerId, Endpoint, Error, Kind, NetworkId, Result, TenantId};

use super::{Container, Engine, container::Turn, launch::sandbox_request};

impl Engine {
    /// Idempotent. A link that cannot be made leaves the container as it was. Another endpoint in the same network is one that
    /// the inventory has taken back, and gives way.
    pub async fn plug(self: &Arc<Self>, tenant: TenantId, id: &ContainerId, endpoint: Endpoint) -> Result<()> {
        let container = self.find(tenant, id)?;
        let mut turn = container.turn.lock().await;
        match container.endpoints().iter().find(|e| e.network == endpoint.network) {
            Some(same) if same.endpoint_id == endpoint.endpoint_id => return Ok(()),
            Some(_) => self.take_out(&container, &mut turn, &endpoint.network).await?,
            None => {}
        }
        let mut endpoints = container.endpoints();
        endpoints.push(endpoint.clone());
        if turn.run.is_some() {
            self.network.connect(&sandbox_request(&container, &endpoints, &container.state().ports), &endpoint).await?;
            self.network.catch_up(vec![endpoint.vni]).await;
        }
        turn.declared = false;
        self.keep_endpoints(&container, endpoints).await
    }

    /// Idempotent. An `endpoint` that is not empty is the only one that is taken out.
    pub async fn unplug(
        self: &Arc<Self>,
        tenant: TenantId,
        id: &ContainerId,
        network: &NetworkId,
        endpoint: &str,
    ) -> Result<()> {
        let container = self.find(tenant, id)?;
        let mut turn = container.turn.lock().await;
        match container.endpoints().iter().find(|e| e.network == *network) {
            Some(there) if endpoint.is_empty() || there.endpoint_id == endpoint => {
                self.take_out(&container, &mut turn, network).await
            }
            _ => Ok(()),
        }
    }

    async fn take_out(&self, container: &Container, turn: &mut Turn, network: &NetworkId) -> Result<()> {
        let (gone, rest): (Vec<_>, Vec<_>) = container.endpoints().into_iter().partition(|e| e.network == *network);
        let Some(gone) = gone.first() else { return Ok(()) };
        if turn.run.is_some() {
            self.network.disconnect(&sandbox_request(container, &rest, &container.state().ports), gone.vni).await?;
        }
        turn.declared = false;
        self.keep_endpoints(container, rest).await
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
