//! The way to containers on other hosts, in a router's kernel state: the forwarding tables of bridge and VXLAN device, and
//! what the device answers ARP and neighbour discovery for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use domain::Result;
use futures::TryStreamExt;
use rtnetlink::packet_route::{
    AddressFamily,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
};

use super::{
    host::Host,
    ipv6,
    links::{self, because},
    router::{Router, VXLAN},
};

/// Where frames for one container go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path {
    pub(super) address: Ipv4Addr,
    pub(super) ipv6: Option<Ipv6Addr>,
    pub(super) mac: [u8; 6],
    pub(super) vtep: Ipv4Addr,
}

impl Path {
    /// What neighbour discovery is answered for.
    fn neighbours6(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.ipv6.into_iter().flat_map(|address| [address, ipv6::link_local(self.mac)])
    }
}

/// Makes what is `present` what is `wanted`.
pub(super) async fn program(
    host: &Host,
    router: &Router,
    present: &BTreeSet<Path>,
    wanted: &BTreeSet<Path>,
) -> Result<()> {
    let index = links::index(&router.links, VXLAN).await?;
    let vteps: BTreeSet<Ipv4Addr> = wanted.iter().map(|p| p.vtep).filter(|v| !v.is_unspecified()).collect();
    for vtep in vteps {
        host.admit_vtep(vtep)?;
    }
    for old in present.difference(wanted) {
        // Whoever has the address next may have another MAC, and the tenant may have given a MAC twice.
        if !wanted.iter().any(|new| new.mac == old.mac) {
            forget_tunnel(router, index, old.mac).await;
        }
        if !wanted.iter().any(|new| new.address == old.address) {
            forget(router, neighbour(index, old.address.into())).await;
        }
    }
    // Whoever has the IPv4 address next may have another IPv6 address.
    let kept: BTreeSet<Ipv6Addr> = wanted.iter().flat_map(Path::neighbours6).collect();
    for address in present.iter().flat_map(Path::neighbours6).filter(|a| !kept.contains(a)) {
        forget(router, neighbour(index, address.into())).await;
    }
    for path in wanted.difference(present).filter(|p| !p.vtep.is_unspecified()) {
        add(router, index, path).await?;
    }
    Ok(())
}

/// What the VXLAN device answers ARP and neighbour discovery for. Where its frames go is not read back: it is written again.
pub(super) async fn found(router: &Router) -> Result<BTreeSet<Path>> {
    let mut ipv6 = BTreeMap::new();
    for (address, mac) in neighbours(router, AddressFamily::Inet6).await? {
        if let (IpAddr::V6(address), false) = (address, address == IpAddr::V6(ipv6::link_local(mac))) {
            ipv6.insert(mac, address);
        }
    }
    let path = |(address, mac): (IpAddr, [u8; 6])| match address {
        IpAddr::V4(address) => Some(Path { address, ipv6: ipv6.get(&mac).copied(), mac, vtep: Ipv4Addr::UNSPECIFIED }),
        IpAddr::V6(_) => None,
    };
    Ok(neighbours(router, AddressFamily::Inet).await?.into_iter().filter_map(path).collect())
}

async fn neighbours(router: &Router, family: AddressFamily) -> Result<Vec<(IpAddr, [u8; 6])>> {
    let index = links::index(&router.links, VXLAN).await?;
    let all = router.links.neighbours().get().set_address_family(family).execute();
    let all: Vec<NeighbourMessage> = all.try_collect().await.map_err(because("list neighbours"))?;
    let entry = |message: NeighbourMessage| {
        let (mut address, mut mac) = (None, None);
        for attribute in message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => address = Some(IpAddr::V4(a)),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => address = Some(IpAddr::V6(a)),
                NeighbourAttribute::LinkLayerAddress(m) => mac = m.try_into().ok(),
                _ => {}
            }
        }
        Some((address?, mac?))
    };
    Ok(all.into_iter().filter(|m| m.header.ifindex == index).filter_map(entry).collect())
}

async fn add(router: &Router, index: u32, path: &Path) -> Result<()> {
    let neighbours = router.links.neighbours();
    let tunnel = neighbours.add_bridge(index, &path.mac).flags(NeighbourFlags::Own).destination(IpAddr::V4(path.vtep));
    tunnel.replace().execute().await.map_err(because("add a peer's tunnel"))?;
    // Not the default state, Permanent: that means a MAC of the bridge itself.
    let bridge = neighbours.add_bridge(index, &path.mac).flags(NeighbourFlags::Controller).state(NeighbourState::Noarp);
    bridge.replace().execute().await.map_err(because("add a peer to the bridge"))?;
    for address in [IpAddr::V4(path.address)].into_iter().chain(path.neighbours6().map(IpAddr::V6)) {
        let entry = neighbours.add(index, address).link_layer_address(&path.mac);
        entry.replace().execute().await.map_err(because("add a peer's address"))?;
    }
    Ok(())
}

async fn forget_tunnel(router: &Router, index: u32, mac: [u8; 6]) {
    for flags in [NeighbourFlags::Own, NeighbourFlags::Controller] {
        let mac = NeighbourAttribute::LinkLayerAddress(mac.to_vec());
        forget(router, message(index, AddressFamily::Bridge, flags, mac)).await;
    }
}

fn neighbour(index: u32, address: IpAddr) -> NeighbourMessage {
    let (family, address) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
    };
    message(index, family, NeighbourFlags::empty(), NeighbourAttribute::Destination(address))
}

fn message(
    index: u32,
    family: AddressFamily,
    flags: NeighbourFlags,
    attribute: NeighbourAttribute,
) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    message.header.ifindex = index;
    message.header.flags = flags;
    message.attributes.push(attribute);
    message
}

/// What is not there any more is no error: the network may have been made anew.
async fn forget(router: &Router, message: NeighbourMessage) {
    if let Err(error) = router.links.neighbours().del(message).execute().await {
        tracing::debug!(vni = router.vni, %error, "remove a peer");
    }
}
