//! What a router lets through: only frames whose sender is what the port was given, and only egress of the own subnet.
//!
//! Anti-spoofing is one table of the bridge family with a set of `port . MAC . address` for each IP version; a container's
//! start adds its elements by raw netlink, so that it costs 0.1 ms and not an `nft` process. Anything but IP and ARP of
//! exactly that sender is dropped at the port: DHCP, ARP for other addresses, and IPv6 where the network has none.
//! Where it has, what could mislead others is dropped too: router advertisements, redirects, and answers of neighbour
//! discovery about an address that is not the sender's (only one's own may be advertised).
//!
//! IPv6 leaves the network nowhere: the router has no other route, and its chain would drop it.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

use domain::{Error, Result};
use ipnet::Ipv4Net;

use super::{
    ipv6,
    nftables::{Batch, FAMILY_BRIDGE, Nftables, Verb, element},
    published,
};

const TABLE: &str = "guard";
pub(super) const ROUTER: &str = "router";
const SET: &str = "senders";
const SET6: &str = "senders6";

/// The rules of a router. `add` and `flush` keep the set's elements when an agent that has restarted loads them again.
pub(super) fn ruleset(subnet: Ipv4Net, egress: bool, ipv6: bool) -> String {
    let leaving = match egress {
        true => format!("iifname \"br0\" oifname \"up\" ip saddr {subnet} accept"),
        false => String::new(),
    };
    let forward6 = if ipv6 { FORWARD6 } else { "" };
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
{forward6}add table bridge {TABLE}
flush table bridge {TABLE}
table bridge {TABLE} {{
    set {SET} {{
        typeof iifname . ether saddr . ip saddr;
    }}
    set {SET6} {{
        typeof iifname . ether saddr . @nh,64,128;
    }}
    chain prerouting {{
        type filter hook prerouting priority -300; policy accept;
        iifname \"p*\" jump port
    }}
    chain port {{
        ether type ip iifname . ether saddr . ip saddr @{SET} accept
        ether type arp iifname . ether saddr . arp saddr ip @{SET} accept
        ether type ip6 jump port6
        drop
    }}
    chain port6 {{
        iifname . ether saddr . @nh,64,128 != @{SET6} drop
        icmpv6 type {{ {FORBIDDEN6} }} drop
        icmpv6 type nd-neighbor-advert iifname . ether saddr . @th,64,128 != @{SET6} drop
        accept
    }}
}}
"
    )
}

/// What only routers say, or nobody needs: the bridge snoops no multicast.
const FORBIDDEN6: &str = "nd-router-solicit, nd-router-advert, nd-redirect, mld-listener-query, mld-listener-report, \
                          mld-listener-done, mld2-listener-report";
const FORWARD6: &str = "add table ip6 router
flush table ip6 router
table ip6 router {
    chain forward {
        type filter hook forward priority 0; policy drop;
    }
}
";

/// What one port may send as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sender<'a> {
    pub(super) port: &'a str,
    pub(super) mac: [u8; 6],
    pub(super) address: Ipv4Addr,
    /// With it goes the link-local address of the MAC.
    pub(super) ipv6: Option<Ipv6Addr>,
}

impl Sender<'_> {
    /// A set's key: each part padded to a whole 32-bit word, the name to 16 bytes.
    fn key(&self, address: &[u8]) -> Vec<u8> {
        let mut key = vec![0u8; 24];
        let name = &self.port.as_bytes()[..self.port.len().min(15)];
        key[..name.len()].copy_from_slice(name);
        key[16..22].copy_from_slice(&self.mac);
        key.extend(address);
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
    let own = element(TABLE, SET, &sender.key(&sender.address.octets()));
    let mut batch = Batch::new().push(verb, FAMILY_BRIDGE, own);
    if let Some(address) = sender.ipv6 {
        for address in [address, ipv6::link_local(sender.mac)] {
            batch = batch.push(verb, FAMILY_BRIDGE, element(TABLE, SET6, &sender.key(&address.octets())));
        }
    }
    nft.commit(batch)
}
