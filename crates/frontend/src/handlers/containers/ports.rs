//! Published ports: taken in the inventory before the host starts the container, told to the edges before the client hears.
//!
//! An edge that does not answer is not waited for: it asks a scheduler every two seconds.

use std::time::Duration;

use domain::{AddressState, Result, spec::NetworkMode};
use futures::future::join_all;
use inventory::Container;
use rpc::v1;

use super::verb::{Target, persist, within};
use crate::state::App;

const DEADLINE: Duration = Duration::from_secs(2);

/// What the container holds from now on; nothing, if it publishes nothing or has no network to the outside.
#[derive(Default)]
pub(super) struct Ports {
    /// For its host.
    pub(super) of_host: Vec<v1::HostPort>,
    address: Option<AddressState>,
}

impl Ports {
    pub(super) async fn take(target: &Target) -> Result<Self> {
        if !publishes(&target.container) {
            return Ok(Self::default());
        }
        let publication = target.rows.publish(&target.container).await?;
        let of_host = publication.ports.iter().map(|port| v1::HostPort {
            protocol: port.protocol.as_str().to_owned(),
            host_port: port.host_port.into(),
            container_port: port.container_port.into(),
        });
        Ok(Self { of_host: of_host.collect(), address: Some(publication.address) })
    }

    /// The start is over, and its outcome stored. Of a container that runs, its end will release them.
    pub(super) async fn settle(&self, target: &Target) -> Result<()> {
        match self.address {
            Some(_) => persist(|| target.rows.published(&target.container)).await,
            None => Ok(()),
        }
    }

    /// Tells the edges.
    pub(super) async fn announce(&self, app: &App) {
        let Some(address) = &self.address else { return };
        let edges = match app.inventory.edges().await {
            Ok(edges) => edges,
            Err(error) => return tracing::warn!(error = error.operator_text(), "edges"),
        };
        if edges.is_empty() {
            tracing::warn!("no edge serves published ports");
        }
        let calls = edges.iter().map(|endpoint| async move {
            let request = v1::PublishedAddresses { addresses: vec![address.clone().into()] };
            let outcome = match app.channels.edge(endpoint) {
                Ok(mut edge) => edge.announce(within(DEADLINE, request)).await.map(drop),
                Err(error) => Err(rpc::status::to_status(error)),
            };
            if let Err(status) = outcome {
                tracing::warn!(edge = endpoint, error = status.message(), "an edge does not serve a port yet");
            }
        });
        join_all(calls).await;
    }
}

fn publishes(container: &Container) -> bool {
    let networked = container.spec.network != NetworkMode::None;
    networked && !container.spec.ports.is_empty() && container.endpoints.iter().any(|e| !e.internal)
}
