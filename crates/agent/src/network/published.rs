//! Published ports on this host: a port of the underlay address leads to the container, in two steps of destination NAT.
//!
//! The host sends what comes for one of its ports to the router of the container's network, with the port unchanged, since
//! tenants' subnets overlap; the router, which knows one network only, sends it on to the container's address and port. It
//! is the kernel's work, so it outlives the agent, and the container sees whoever called (an edge). An element of a map is
//! set by raw netlink, so that a start pays 0.1 ms for each port.

use std::{io, net::Ipv4Addr};

use domain::{Error, HostPort, Protocol, Result};

use super::nftables::{Batch, FAMILY_IPV4, Nftables, Verb, element, map_element};

/// Both tables have one map for each protocol.
pub(super) const MAPS: [(Protocol, &str); 2] = [(Protocol::Tcp, "tcp_ports"), (Protocol::Udp, "udp_ports")];

/// The maps' declarations. `add` keeps the elements of one that is there.
pub(super) fn declarations(table: &str) -> String {
    let declare = |(_, map)| format!("add map ip {table} {map} {{ type inet_service : ipv4_addr . inet_service; }}\n");
    MAPS.map(declare).concat()
}

/// The chain that looks into them, for packets that `condition` selects.
pub(super) fn chain(first: &str, condition: &str) -> String {
    let lead = |(protocol, map): (Protocol, &str)| {
        format!("        {condition} dnat ip to {} dport map @{map}\n", protocol.as_str())
    };
    format!(
        "    chain prerouting {{
        type nat hook prerouting priority -100;
{first}{}    }}
",
        MAPS.map(lead).concat()
    )
}

/// From now on `port.host_port` leads to `to`.
pub(super) fn lead(nft: &Nftables, table: &str, port: HostPort, to: (Ipv4Addr, u16)) -> Result<()> {
    // The map refuses an element that is there with another value: what an earlier holder left.
    stop(nft, table, port)?;
    let mut value = [0u8; 8];
    value[..4].copy_from_slice(&to.0.octets());
    value[4..6].copy_from_slice(&to.1.to_be_bytes());
    let set = map_element(table, map_of(port.protocol), &port.host_port.to_be_bytes(), &value);
    nft.commit(Batch::new().push(Verb::NewElement, FAMILY_IPV4, set)).map_err(|e| Error::because("publish a port", e))
}

/// Not there: done.
pub(super) fn stop(nft: &Nftables, table: &str, port: HostPort) -> Result<()> {
    let gone = element(table, map_of(port.protocol), &port.host_port.to_be_bytes());
    match nft.commit(Batch::new().push(Verb::DeleteElement, FAMILY_IPV4, gone)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::because("withdraw a port", e)),
        _ => Ok(()),
    }
}

fn map_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => MAPS[0].1,
        Protocol::Udp => MAPS[1].1,
    }
}
