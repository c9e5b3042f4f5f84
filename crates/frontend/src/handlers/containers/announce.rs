//! Telling the hosts of a network that a container is there, or has another name, before the client hears that it is so.
//!
//! A host that does not answer is not waited for: it converges by the network's generation once it is back.

use std::time::Duration;

use domain::{Endpoint, HostId};
use futures::future::join_all;
use inventory::{Container, TenantView};
use rpc::v1;

use super::verb::{Target, within};
use crate::state::App;

const DEADLINE: Duration = Duration::from_secs(2);

/// `endpoints` of the target's container, which runs or is about to.
pub(crate) async fn announce(app: &App, target: &Target, endpoints: &[Endpoint]) {
    if endpoints.is_empty() {
        return;
    }
    let container = &target.container;
    let sharing = match target.rows.hosts_that_share(&container.id, container.host).await {
        Ok(sharing) => sharing,
        Err(error) => return tracing::warn!(error = error.operator_text(), "hosts of a network"),
    };
    let updates: Vec<v1::NetworkPeers> = endpoints.iter().map(|e| update(target, e, &sharing.vtep)).collect();
    let calls = sharing.hosts.into_iter().map(|(host, endpoint)| {
        let request = v1::AnnounceRequest { networks: updates.clone() };
        async move {
            let outcome = match app.channels.networks(host, &endpoint) {
                Ok(networks) => networks.clone().announce(within(DEADLINE, request)).await.map(drop),
                Err(error) => Err(rpc::status::to_status(error)),
            };
            if let Err(status) = outcome {
                tracing::warn!(host.id = %host, error = status.message(), "a host does not hear of a container yet");
            }
        }
    });
    join_all(calls).await;
}

/// The name of `container` has changed in the rows: its own host and those that share its networks ask for them.
pub(crate) async fn renamed(app: &App, rows: &TenantView, container: &Container) {
    if container.endpoints.is_empty() {
        return;
    }
    let sharing = match rows.hosts_that_share(&container.id, container.host).await {
        Ok(sharing) => sharing,
        Err(error) => return tracing::warn!(error = error.operator_text(), "hosts of a network"),
    };
    let own = container.host_reachable.then(|| (container.host, container.host_endpoint.clone()));
    let vnis: Vec<u32> = container.endpoints.iter().map(|e| e.vni).collect();
    let calls = sharing.hosts.into_iter().chain(own).map(|(host, endpoint)| {
        let request = v1::CatchUpRequest { vnis: vnis.clone() };
        async move { catch_up(app, host, &endpoint, request).await }
    });
    join_all(calls).await;
}

async fn catch_up(app: &App, host: HostId, endpoint: &str, request: v1::CatchUpRequest) {
    let outcome = match app.channels.networks(host, endpoint) {
        Ok(mut networks) => networks.catch_up(within(DEADLINE, request)).await.map(drop),
        Err(error) => Err(rpc::status::to_status(error)),
    };
    if let Err(status) = outcome {
        tracing::warn!(host.id = %host, error = status.message(), "a host does not hear of a new name yet");
    }
}

fn update(target: &Target, endpoint: &Endpoint, vtep: &str) -> v1::NetworkPeers {
    let container = &target.container;
    let names = std::iter::once(container.name.to_string()).chain(endpoint.aliases.iter().cloned());
    v1::NetworkPeers {
        vni: endpoint.vni,
        name: endpoint.network_name.clone(),
        generation: 0,
        peers: vec![v1::Peer {
            container_id: container.id.to_string(),
            host_id: container.host.to_string(),
            address: endpoint.address.to_string(),
            address6: endpoint.ipv6.map(|v6| v6.address.to_string()).unwrap_or_default(),
            mac: endpoint.mac.clone(),
            vtep: vtep.to_owned(),
            names: names.collect(),
            running: true,
        }],
    }
}
