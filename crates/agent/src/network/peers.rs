//! The containers of a network that are on other hosts: where their frames go, and whose VXLAN packets come in.
//!
//! Nothing is learned and nothing flooded: the control plane sends the full list with a generation, and the difference to
//! what is there is applied. ARP for a peer is answered by the VXLAN device itself (`proxy`).

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
};

use domain::Result;
use rtnetlink::packet_route::{
    AddressFamily,
    neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
};

use super::{
    host::Host,
    links::{self, because},
    router::{Router, VXLAN},
};

/// A container on another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    pub address: Ipv4Addr,
    pub mac: [u8; 6],
    /// Underlay address of its host.
    pub vtep: Ipv4Addr,
}

/// What has been programmed, by VNI.
#[derive(Default)]
pub(super) struct Peers(Mutex<HashMap<u32, (u64, BTreeSet<Peer>)>>);

impl Peers {
    /// Makes `wanted` the peers of the router's network. An older generation than the last is ignored.
    pub(super) async fn set(&self, host: &Host, router: &Router, generation: u64, wanted: &[Peer]) -> Result<()> {
        let wanted: BTreeSet<Peer> = wanted.iter().copied().collect();
        let present = match self.lock().get(&router.vni) {
            Some((known, _)) if *known > generation => return Ok(()),
            Some((_, present)) => present.clone(),
            None => BTreeSet::new(),
        };
        let index = links::index(&router.links, VXLAN).await?;
        for vtep in wanted.iter().map(|p| p.vtep).collect::<BTreeSet<_>>() {
            host.admit_vtep(vtep)?;
        }
        for peer in present.difference(&wanted).filter(|old| !wanted.iter().any(|new| new.address == old.address)) {
            remove(router, index, peer).await;
        }
        for peer in wanted.difference(&present) {
            add(router, index, peer).await?;
        }
        self.lock().insert(router.vni, (generation, wanted));
        let vteps: BTreeSet<Ipv4Addr> = self.lock().values().flat_map(|(_, p)| p).map(|p| p.vtep).collect();
        host.keep_vteps(&vteps)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, (u64, BTreeSet<Peer>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn add(router: &Router, index: u32, peer: &Peer) -> Result<()> {
    let neighbours = router.links.neighbours();
    let tunnel = neighbours.add_bridge(index, &peer.mac).flags(NeighbourFlags::Own).destination(IpAddr::V4(peer.vtep));
    tunnel.replace().execute().await.map_err(because("add a peer's tunnel"))?;
    // Not the default state, Permanent: that means a MAC of the bridge itself.
    let bridge = neighbours.add_bridge(index, &peer.mac).flags(NeighbourFlags::Controller).state(NeighbourState::Noarp);
    bridge.replace().execute().await.map_err(because("add a peer to the bridge"))?;
    let arp = neighbours.add(index, IpAddr::V4(peer.address)).link_layer_address(&peer.mac);
    arp.replace().execute().await.map_err(because("add a peer's address"))
}

/// What is not there any more is no error: the network may have been made anew.
async fn remove(router: &Router, index: u32, peer: &Peer) {
    let message = |family, flags, attribute| {
        let mut message = NeighbourMessage::default();
        message.header.family = family;
        message.header.ifindex = index;
        message.header.flags = flags;
        message.attributes.push(attribute);
        message
    };
    let mac = || NeighbourAttribute::LinkLayerAddress(peer.mac.to_vec());
    for message in [
        message(AddressFamily::Bridge, NeighbourFlags::Own, mac()),
        message(AddressFamily::Bridge, NeighbourFlags::Controller, mac()),
        message(AddressFamily::Inet, NeighbourFlags::empty(), NeighbourAttribute::Destination(peer.address.into())),
    ] {
        if let Err(error) = router.links.neighbours().del(message).execute().await {
            tracing::debug!(vni = router.vni, %error, "remove a peer");
        }
    }
}
