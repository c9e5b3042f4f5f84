//! What a router lets through: only frames whose sender is what the port was given, and only egress of the own subnet.
//!
//! Anti-spoofing is one table of the bridge family with a set of `port . MAC . IPv4 address`; a container's start adds
//! one element by raw netlink, so that it costs 0.1 ms and not an `nft` process. Anything but IPv4 and ARP of exactly
//! that sender is dropped at the port: IPv6 (router advertisements), DHCP, ARP for other addresses.

use std::{io, net::Ipv4Addr};

use domain::{Error, Result};
use ipnet::Ipv4Net;

use super::{
    nftables::{Batch, FAMILY_BRIDGE, Nftables, Verb, element},
    published,
};

const TABLE: &str = "guard";
pub(super) const ROUTER: &str = "router";
const SET: &str = "senders";

/// The rules of a router. `add` and `flush` keep the set's elements when an agent that has restarted loads them again.
pub(super) fn ruleset(subnet: Ipv4Net, egress: bool) -> String {
    let leaving = match egress {
        true => format!("iifname \"br0\" oifname \"up\" ip saddr {subnet} accept"),
        false => String::new(),
    };
    let (maps, published) = (published::declarations(ROUTER), published::chain("", "iifname \"up\""));
    format!(
        "add table ip {ROUTER}
flush table ip {ROUTER}
{maps}table ip {ROUTER} {{
{published}    chain forward {{
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname \"up\" oifname \"br0\" ct status dnat accept
        {leaving}
    }}
    chain postrouting {{
        type nat hook postrouting priority 100;
        oifname \"up\" masquerade
    }}
}}
add table bridge {TABLE}
flush table bridge {TABLE}
table bridge {TABLE} {{
    set {SET} {{
        typeof iifname . ether saddr . ip saddr;
    }}
    chain prerouting {{
        type filter hook prerouting priority -300; policy accept;
        iifname \"p*\" jump port
    }}
    chain port {{
        ether type ip iifname . ether saddr . ip saddr @{SET} accept
        ether type arp iifname . ether saddr . arp saddr ip @{SET} accept
        drop
    }}
}}
"
    )
}

/// What one port may send as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sender<'a> {
    pub(super) port: &'a str,
    pub(super) mac: [u8; 6],
    pub(super) address: Ipv4Addr,
}

impl Sender<'_> {
    /// The set's key: each part padded to a whole 32-bit word, the name to 16 bytes.
    fn key(&self) -> [u8; 28] {
        let mut key = [0u8; 28];
        let name = &self.port.as_bytes()[..self.port.len().min(15)];
        key[..name.len()].copy_from_slice(name);
        key[16..22].copy_from_slice(&self.mac);
        key[24..].copy_from_slice(&self.address.octets());
        key
    }
}

/// Lets the port speak.
pub(super) fn admit(nft: &Nftables, sender: &Sender<'_>) -> Result<()> {
    change(nft, Verb::NewElement, sender).map_err(|e| Error::because("admit a bridge port", e))
}

/// Silences the port. Not there: done.
pub(super) fn expel(nft: &Nftables, sender: &Sender<'_>) -> Result<()> {
    match change(nft, Verb::DeleteElement, sender) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::because("expel a bridge port", e)),
        _ => Ok(()),
    }
}

fn change(nft: &Nftables, verb: Verb, sender: &Sender<'_>) -> io::Result<()> {
    nft.commit(Batch::new().push(verb, FAMILY_BRIDGE, element(TABLE, SET, &sender.key())))
}
