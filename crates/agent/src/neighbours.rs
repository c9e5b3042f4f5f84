//! Where the containers of this host's networks are elsewhere, as the schedulers tell it.

use std::str::FromStr;

use domain::{ContainerId, Error, HostId, Result};
use rpc::{Channels, v1};

use crate::network::{Listing, Peer, Source, parse_mac};

pub(crate) struct Schedulers {
    pub(crate) channels: Channels,
    pub(crate) endpoints: Vec<String>,
    /// This host's own containers are no peers.
    pub(crate) host: HostId,
}

#[tonic::async_trait]
impl Source for Schedulers {
    async fn newer(&self, known: Vec<(u32, u64)>) -> Result<Vec<Listing>> {
        let known: Vec<_> = known.into_iter().map(|(vni, generation)| v1::NetworkVersion { vni, generation }).collect();
        let mut last = Error::unavailable("no scheduler is configured");
        for endpoint in &self.endpoints {
            let request = v1::NewerRequest { known: known.clone() };
            match self.channels.scheduler(endpoint)?.newer(request).await {
                Ok(reply) => return reply.into_inner().networks.into_iter().map(|n| listing(n, self.host)).collect(),
                Err(status) => last = rpc::status::from_status(status),
            }
        }
        Err(last)
    }
}

/// The containers of `host` itself are no peers: of them the list tells only the names.
pub(crate) fn listing(from: v1::NetworkPeers, host: HostId) -> Result<Listing> {
    let v1::NetworkPeers { vni, name, generation, peers } = from;
    let here = host.to_string();
    let (own, peers): (Vec<_>, Vec<_>) = peers.into_iter().partition(|p| p.host_id == here);
    let peers = peers.into_iter().map(peer).collect::<Result<_>>()?;
    let own = own.into_iter().filter_map(called).collect::<Result<_>>()?;
    Ok(Listing { vni, name, generation, peers, own })
}

/// The first of the names is the container's own.
fn called(from: v1::Peer) -> Option<Result<(ContainerId, String)>> {
    let name = from.names.into_iter().next()?;
    Some(from.container_id.parse().map(|id| (id, name)))
}

fn peer(from: v1::Peer) -> Result<Peer> {
    Ok(Peer {
        container: from.container_id.parse()?,
        address: address(&from.address)?,
        ipv6: Some(&from.address6).filter(|a| !a.is_empty()).map(|a| address(a)).transpose()?,
        mac: parse_mac(&from.mac)?,
        vtep: address(&from.vtep)?,
        names: from.names,
        running: from.running,
    })
}

fn address<A: FromStr>(text: &str) -> Result<A> {
    text.parse().map_err(|_| Error::invalid(format!("a peer's address {text:?}")))
}
