//! A container's link: one end is a port of the router's bridge, the other is `eth0` in the container.
//!
//! Port names are random and never used again, so a container that starts while its former self is still being torn down
//! meets nothing of it but its address: [`silence`] frees that one at once.

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::{Endpoint, Error, Result};
use rand::Rng;
use rtnetlink::{
    Handle, LinkBridgePort, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::link::{BridgePortState, InfoData, InfoVeth},
};
use serde::{Deserialize, Serialize};

use super::{
    guard::{self, Sender},
    ipv6,
    links::{self, because, parse_mac},
    netns::Netns,
    router::Router,
};

/// What must be known to unplug it, kept in the sandbox's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Port {
    pub(super) vni: u32,
    /// In the router; starts with `p`.
    pub(super) name: String,
    mac: [u8; 6],
    pub(super) address: Ipv4Addr,
    #[serde(default)]
    ipv6: Option<Ipv6Addr>,
}

impl Port {
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self> {
        let name = format!("p{:012x}", rand::rng().random::<u64>() & 0xffff_ffff_ffff);
        let (mac, ipv6) = (parse_mac(&endpoint.mac)?, endpoint.ipv6.map(|v6| v6.address));
        Ok(Self { vni: endpoint.vni, name, mac, address: endpoint.address, ipv6 })
    }

    fn sender(&self) -> Sender<'_> {
        Sender { port: &self.name, mac: self.mac, address: self.address, ipv6: self.ipv6 }
    }

    pub(super) async fn is_there(&self, router: &Router) -> Result<bool> {
        Ok(links::find(&router.links, &self.name).await?.is_some())
    }

    /// Takes the old link out of the bridge's sight: it sends nothing, gets nothing, and the bridge forgets its MAC, or
    /// frames for whoever has the address next would go there. Not there: done.
    pub(super) async fn silence(&self, router: &Router) -> Result<()> {
        guard::expel(&router.nft, &self.sender())?;
        let Some(link) = links::find(&router.links, &self.name).await? else { return Ok(()) };
        let port = LinkBridgePort::new(link.header.index).state(BridgePortState::Disabled).fdb_flush().build();
        router.links.link().set_port(port).execute().await.map_err(because("disable a container's port"))
    }

    /// Removes both ends.
    pub(super) async fn unplug(&self, router: &Router) -> Result<()> {
        guard::expel(&router.nft, &self.sender())?;
        links::delete(&router.links, &self.name).await
    }
}

/// The container's side of a plug.
pub(super) struct Socket<'a> {
    pub(super) netns: &'a Netns,
    pub(super) links: &'a Handle,
    pub(super) mtu: u32,
    /// This endpoint's gateway is the default one.
    pub(super) default_route: bool,
    /// Likewise of IPv6.
    pub(super) default_route6: bool,
}

/// Makes the link in both namespaces and configures the container's end: six requests, and a few more for IPv6.
pub(super) async fn plug(router: &Router, port: &Port, endpoint: &Endpoint, socket: Socket<'_>) -> Result<()> {
    guard::admit(&router.nft, &port.sender())?;
    let interface = endpoint.interface.as_str();
    let peer = LinkUnspec::new_with_name(interface).address(port.mac.to_vec());
    // The kernel refuses a peer that is up from the start (ENOTCONN).
    let peer = peer.mtu(socket.mtu).setns_by_fd(socket.netns.raw()).build();
    let veth = LinkVeth::new(&port.name, interface).set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
    let veth = veth.controller(router.bridge).mtu(socket.mtu).up().build();
    router.links.link().add(veth).execute().await.map_err(because("add a container's link"))?;
    // The kernel numbers it: by how many there were, not by the name.
    let index = links::index(socket.links, interface).await?;
    let up = LinkUnspec::new_with_index(index).up().build();
    socket.links.link().set(up).execute().await.map_err(because("set a container's link up"))?;
    let (address, length) = (endpoint.address.into(), endpoint.subnet.prefix_len());
    let add = socket.links.address().add(index, address, length);
    add.execute().await.map_err(because("add a container's address"))?;
    if socket.default_route {
        set_default_route(socket.links, endpoint.gateway).await?;
    }
    let Some(v6) = &endpoint.ipv6 else { return Ok(()) };
    socket.netns.run(|| ipv6::enable_here(interface))?;
    ipv6::add_address(socket.links, index, v6.address, v6.subnet.prefix_len()).await?;
    match socket.default_route6 {
        true => ipv6::set_default_route(socket.links, v6.gateway).await,
        false => Ok(()),
    }
}

/// Out of the container, by the router of one of its networks.
pub(super) async fn set_default_route(links: &Handle, gateway: Ipv4Addr) -> Result<()> {
    let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
    let add = links.route().add(route).replace();
    add.execute().await.map_err(|e| Error::because("set a container's default route", e))
}
