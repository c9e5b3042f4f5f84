//! What the host itself is connected to: where overlays run, where egress leaves, what tenants must not reach.

use std::net::{IpAddr, Ipv4Addr};

use domain::{Error, Result};
use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::AddressAttribute,
        link::LinkAttribute,
        route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage},
    },
};

use super::links::{because, find, mtu};

/// Bytes that a VXLAN frame adds over IPv4.
const VXLAN_BYTES: u32 = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Underlay {
    pub(super) address: Ipv4Addr,
    pub(super) mtu: u32,
}

impl Underlay {
    pub(super) async fn of(links: &Handle, interface: &str) -> Result<Self> {
        let missing = || Error::internal(format!("the underlay interface {interface} does not exist"));
        let link = find(links, interface).await?.ok_or_else(missing)?;
        let address = address_of(links, link.header.index).await?;
        let address = address.ok_or_else(|| Error::internal(format!("{interface} has no IPv4 address")))?;
        Ok(Self { address, mtu: mtu(&link).unwrap_or(1500) })
    }

    /// The largest MTU that fits between hosts; a wish above it is clamped.
    pub(super) fn overlay_mtu(&self, wish: u16) -> u32 {
        u32::from(wish).min(self.mtu.saturating_sub(VXLAN_BYTES))
    }
}

async fn address_of(links: &Handle, index: u32) -> Result<Option<Ipv4Addr>> {
    let request = links.address().get().set_link_index_filter(index);
    let all: Vec<_> = request.execute().try_collect().await.map_err(because("list addresses"))?;
    let addresses = all.iter().filter(|m| m.header.family == AddressFamily::Inet).flat_map(|m| &m.attributes);
    // The local end; on links with a peer `Address` is the other one.
    Ok(addresses.into_iter().find_map(|a| match a {
        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
        _ => None,
    }))
}

/// The host's IPv4 routes, our own uplinks left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Routes {
    /// The interface of the default route: the only way out for containers.
    pub(super) egress: Option<String>,
    /// Everything that the host has a narrower route to.
    pub(super) near: Vec<Ipv4Net>,
}

impl Routes {
    pub(super) async fn of(links: &Handle, is_ours: impl Fn(&str) -> bool) -> Result<Self> {
        let names = names_by_index(links).await?;
        let request = links.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build());
        let all: Vec<RouteMessage> = request.execute().try_collect().await.map_err(because("list routes"))?;
        let mut routes = Self::default();
        for route in all.iter().filter(|r| r.header.table == RouteHeader::RT_TABLE_MAIN) {
            let name = interface(route).and_then(|i| names.iter().find(|(index, _)| *index == i)).map(|(_, n)| n);
            match destination(route) {
                None => routes.egress = routes.egress.or_else(|| name.cloned()),
                Some(net) if !name.is_some_and(|n| is_ours(n)) => routes.near.push(net),
                Some(_) => {}
            }
        }
        routes.near.sort();
        routes.near.dedup();
        Ok(routes)
    }
}

async fn names_by_index(links: &Handle) -> Result<Vec<(u32, String)>> {
    let all: Vec<_> = links.link().get().execute().try_collect().await.map_err(because("list links"))?;
    Ok(all
        .into_iter()
        .filter_map(|link| {
            let index = link.header.index;
            link.attributes.into_iter().find_map(|a| match a {
                LinkAttribute::IfName(name) => Some((index, name)),
                _ => None,
            })
        })
        .collect())
}

fn interface(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|a| match a {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// `None` is the default route.
fn destination(route: &RouteMessage) -> Option<Ipv4Net> {
    let address = route.attributes.iter().find_map(|a| match a {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })?;
    let length = route.header.destination_prefix_length;
    (length > 0).then(|| Ipv4Net::new(address, length).ok()).flatten()
}
