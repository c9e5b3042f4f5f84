//! The router of one network on this host: a namespace with the bridge, the gateway's address, the VXLAN device and the
//! uplink.
//!
//! Tenants' subnets overlap, so each (network, host) has a namespace of its own. Links are made straight in the namespace
//! where they belong: moving one later costs 10-20 ms. A router outlives the agent: it is bound at
//! `<run>/routers/<vni>/net`, and `state.json` beside it holds what can't be read back.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use domain::{Endpoint, Error, HostPort, Result};
use ipnet::{Ipv4Net, Ipv6Net};
use rtnetlink::{
    Handle, LinkBridge, LinkBridgePort, LinkUnspec, LinkVeth, LinkVxlan, RouteMessageBuilder,
    packet_route::link::{InfoData, InfoVeth},
};
use serde::{Deserialize, Serialize};

use super::{
    guard,
    host::{Host, Uplink, uplink_name},
    ipv6,
    links::{self, because, parse_mac},
    netns::{self, Netns},
    nftables::{self, Nftables},
    published,
};

const BRIDGE: &str = "br0";
const UP: &str = "up";
pub(super) const VXLAN: &str = "vx";
const VXLAN_PORT: u16 = 4789;

/// What a router was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    subnet: Ipv4Net,
    gateway: Ipv4Addr,
    /// `None` for internal networks.
    uplink: Option<u16>,
    /// Subnet and gateway, where the network has IPv6.
    #[serde(default)]
    ipv6: Option<(Ipv6Net, Ipv6Addr)>,
}

pub(super) struct Router {
    pub(super) vni: u32,
    pub(super) netns: Netns,
    pub(super) links: Handle,
    pub(super) nft: Nftables,
    /// Interface index of the bridge.
    pub(super) bridge: u32,
    shape: Shape,
    dir: PathBuf,
}

impl Router {
    /// A new one, for the network of `endpoint`.
    pub(super) async fn create(host: &Host, dir: PathBuf, endpoint: &Endpoint) -> Result<Self> {
        let uplink = if endpoint.internal { None } else { Some(host.take_uplink(None)?) };
        let ipv6 = endpoint.ipv6.map(|v6| (v6.subnet, v6.gateway));
        let shape = Shape { subnet: endpoint.subnet, gateway: endpoint.gateway, uplink: uplink.map(|u| u.0), ipv6 };
        let made = Self::build(host, &dir, endpoint, shape).await;
        if made.is_err() {
            remove_dir(&dir);
            let _ = host.remove_uplink(endpoint.vni).await;
            uplink.into_iter().for_each(|u| host.give_uplink(u));
        }
        made
    }

    async fn build(host: &Host, dir: &Path, endpoint: &Endpoint, shape: Shape) -> Result<Self> {
        remove_dir(dir);
        let failed = |e| Error::because(format!("make {}", dir.display()), e);
        std::fs::create_dir_all(dir).map_err(failed)?;
        std::fs::write(dir.join("state.json"), serde_json::to_vec(&shape).unwrap_or_default()).map_err(failed)?;
        let netns = Netns::create(&dir.join("net"))?;
        let (links, nft) = netns.run(|| prepare_here(&shape))?;
        let vni = endpoint.vni;
        let mut router = Self { vni, netns, links, nft, bridge: 0, shape, dir: dir.to_owned() };
        router.add_bridge(endpoint, host.underlay.overlay_mtu(endpoint.mtu)).await?;
        router.add_vxlan(host, host.underlay.overlay_mtu(endpoint.mtu)).await?;
        router.add_uplink(host).await?;
        Ok(router)
    }

    /// The one that an earlier agent made; rules are loaded again, links stay.
    pub(super) async fn open(host: &Host, dir: PathBuf, vni: u32) -> Result<Self> {
        let state = std::fs::read(dir.join("state.json")).map_err(|e| Error::because("read a router's state", e))?;
        let shape: Shape = serde_json::from_slice(&state).map_err(|e| Error::because("a router's state", e))?;
        if !netns::is_bound(&dir.join("net")) {
            return Err(Error::internal("a router's namespace is gone"));
        }
        let netns = Netns::open(&dir.join("net"))?;
        let (links, nft) = netns.run(|| prepare_here(&shape))?;
        let bridge = links::index(&links, BRIDGE).await?;
        if let Some(index) = shape.uplink {
            links::index(&links, UP).await?;
            host.take_uplink(Some(index))?;
        }
        Ok(Self { vni, netns, links, nft, bridge, shape, dir })
    }

    /// Whether it routes the network that `endpoint` is in.
    pub(super) fn fits(&self, endpoint: &Endpoint) -> bool {
        let shape = &self.shape;
        // An endpoint from before its network's schedulers knew IPv6 has none; it does without.
        let ipv6 = endpoint.ipv6.is_none_or(|v6| shape.ipv6 == Some((v6.subnet, v6.gateway)));
        (shape.subnet, shape.gateway, shape.uplink.is_none()) == (endpoint.subnet, endpoint.gateway, endpoint.internal)
            && ipv6
    }

    pub(super) fn has_ipv6(&self) -> bool {
        self.shape.ipv6.is_some()
    }

    /// Sends what comes for the port by the uplink to a container; the address to send it to from the host. None: an
    /// internal network.
    pub(super) fn publish(&self, port: HostPort, container: Ipv4Addr) -> Result<Option<Ipv4Addr>> {
        let Some(uplink) = self.shape.uplink.map(Uplink) else { return Ok(None) };
        published::lead(&self.nft, guard::ROUTER, port, (container, port.container_port))?;
        Ok(Some(uplink.router()))
    }

    /// The port leads nowhere any more. Not there: done.
    pub(super) fn withdraw(&self, port: HostPort) -> Result<()> {
        published::stop(&self.nft, guard::ROUTER, port)
    }

    /// Whether containers' links are still in it.
    pub(super) async fn is_used(&self) -> Result<bool> {
        Ok(links::names(&self.links).await?.iter().any(|name| name.starts_with('p')))
    }

    /// Takes it down. The uplink goes first, so that its name and addresses are free at once.
    pub(super) async fn remove(&self, host: &Host) -> Result<()> {
        host.remove_uplink(self.vni).await?;
        remove_dir(&self.dir);
        self.shape.uplink.into_iter().for_each(|index| host.give_uplink(Uplink(index)));
        Ok(())
    }

    async fn add_bridge(&mut self, endpoint: &Endpoint, mtu: u32) -> Result<()> {
        let mac = parse_mac(&Endpoint::derived_mac(endpoint.gateway))?;
        // The kernel makes the bridge's MAC follow its ports unless it is set.
        let bridge = LinkBridge::new(BRIDGE).mcast_snooping(false).address(mac.to_vec()).mtu(mtu).up().build();
        self.links.link().add(bridge).execute().await.map_err(because("add the bridge"))?;
        self.bridge = links::index(&self.links, BRIDGE).await?;
        let (gateway, length) = (endpoint.gateway.into(), endpoint.subnet.prefix_len());
        let address = self.links.address().add(self.bridge, gateway, length);
        address.execute().await.map_err(because("add the gateway's address"))?;
        let Some((subnet, gateway)) = self.shape.ipv6 else { return Ok(()) };
        self.netns.run(|| ipv6::enable_here(BRIDGE))?;
        ipv6::add_address(&self.links, self.bridge, gateway, subnet.prefix_len()).await
    }

    /// Made from the host's namespace, where its UDP socket stays. It knows no peers yet, learns none and floods nothing.
    async fn add_vxlan(&self, host: &Host, mtu: u32) -> Result<()> {
        let vxlan = LinkVxlan::new(VXLAN, self.vni).local(host.underlay.address).port(VXLAN_PORT);
        let vxlan = vxlan.learning(false).proxy(true).setns_by_fd(self.netns.raw()).build();
        host.links.link().add(vxlan).execute().await.map_err(because("add the VXLAN device"))?;
        let index = links::index(&self.links, VXLAN).await?;
        let port = LinkUnspec::new_with_index(index).controller(self.bridge).mtu(mtu).up().build();
        self.links.link().set(port).execute().await.map_err(because("plug the VXLAN device"))?;
        if self.has_ipv6() {
            self.netns.run(|| ipv6::enable_bare_here(VXLAN))?;
        }
        let port = LinkBridgePort::new(index).learning(false).build();
        self.links.link().set_port(port).execute().await.map_err(because("set the VXLAN port"))
    }

    async fn add_uplink(&self, host: &Host) -> Result<()> {
        let Some(uplink) = self.shape.uplink.map(Uplink) else { return Ok(()) };
        let name = uplink_name(self.vni);
        links::delete(&host.links, &name).await?; // of a router that died without us
        let mtu = host.underlay.mtu;
        let peer = LinkUnspec::new_with_name(UP).mtu(mtu).setns_by_fd(self.netns.raw()).build();
        let veth = LinkVeth::new(&name, UP).set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).mtu(mtu).build();
        host.links.link().add(veth).execute().await.map_err(because("add the uplink"))?;
        let ends = [(&host.links, name.as_str(), uplink.host()), (&self.links, UP, uplink.router())];
        for (links, name, address) in ends {
            let index = links::index(links, name).await?;
            let up = LinkUnspec::new_with_index(index).up().build();
            links.link().set(up).execute().await.map_err(because("set the uplink up"))?;
            let add = links.address().add(index, address.into(), Uplink::PREFIX);
            add.execute().await.map_err(because("add the uplink's address"))?;
        }
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(uplink.host()).build();
        self.links.route().add(route).execute().await.map_err(because("add the default route"))
    }
}

/// Sysctls and rules, in the router's namespace. br_netfilter would else pass bridged frames through the IP rules.
fn prepare_here(shape: &Shape) -> Result<(Handle, Nftables)> {
    netns::sysctl_here("net.ipv4.ip_forward", "1")?;
    netns::sysctl_if_there("net.ipv6.conf.default.disable_ipv6", "1")?;
    for table in ["ip", "ip6", "arp"] {
        netns::sysctl_if_there(&format!("net.bridge.bridge-nf-call-{table}tables"), "0")?;
    }
    if shape.ipv6.is_some() {
        // It forwards nothing, but only a router tells a container that there is no way out; else it would wait.
        netns::sysctl_here("net.ipv6.conf.all.forwarding", "1")?;
    }
    netns::set_loopback_up_here()?;
    nftables::load_here(&guard::ruleset(shape.subnet, shape.uplink.is_some(), shape.ipv6.is_some()))?;
    Ok((netns::links_here()?, Nftables::open_here()?))
}

fn remove_dir(dir: &Path) {
    netns::unbind(&dir.join("net"));
    let _ = std::fs::remove_dir_all(dir);
}
