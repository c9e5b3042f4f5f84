//! The host's side of all routers: uplinks, NAT, and the fence around everything that tenants must not reach.
//!
//! Containers leave by the default route only, behind the host's address. They reach neither the host, nor what the host
//! has narrower routes to (the underlay among it), nor link-local addresses (cloud metadata), nor other routers' uplinks,
//! nor the control plane, nor any VXLAN port. IPv6 passes in no direction. All rules are in one table that is loaded in one transaction; conntrack
//! keeps what it knows, so that a restart cuts no connection.

use std::{collections::BTreeSet, net::Ipv4Addr, path::Path, sync::Mutex, sync::PoisonError};

use domain::{Error, HostPort, Result};
use ipnet::Ipv4Net;
use rtnetlink::Handle;

use super::{
    links,
    netns::{self, Netns},
    nftables::{self, Batch, FAMILY_IPV4, Nftables, Verb, element},
    published,
    underlay::{Routes, Underlay},
};

const TABLE: &str = "wharfinger";
/// Hosts that may send VXLAN packets.
const PEERS: &str = "peers";
/// Uplinks are `wu<vni>`.
pub(super) const UPLINK_PREFIX: &str = "wu";
/// Uplinks get /30s of this.
const UPLINKS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 16);
/// How many /30s there are.
const UPLINKS_MAX: u16 = 1 << 14;
/// Never reachable, whatever the routes say: this network, loopback, link-local, uplinks, multicast and reserved.
const NEVER: [&str; 6] = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/16", "224.0.0.0/4", "240.0.0.0/4"];

pub(super) struct Host {
    pub(super) links: Handle,
    pub(super) underlay: Underlay,
    /// The agent's own namespace.
    pub(super) netns: Netns,
    /// Of the control plane.
    fenced: Vec<Ipv4Net>,
    loaded: Mutex<String>,
    uplinks: Mutex<BTreeSet<u16>>,
    nft: Nftables,
    vteps: Mutex<BTreeSet<Ipv4Addr>>,
}

impl Host {
    /// Sets the calling thread's namespace up.
    pub(super) async fn open(underlay_interface: &str, fenced: Vec<Ipv4Net>) -> Result<Self> {
        let links = netns::links_here()?;
        let host = Self {
            underlay: Underlay::of(&links, underlay_interface).await?,
            links,
            netns: Netns::open("/proc/thread-self/ns/net".as_ref())?,
            fenced,
            loaded: Mutex::default(),
            uplinks: Mutex::default(),
            nft: Nftables::open_here()?,
            vteps: Mutex::default(),
        };
        host.netns.run(|| netns::sysctl_here("net.ipv4.ip_forward", "1"))?;
        host.refresh().await?;
        host.take_up_vteps()?;
        Ok(host)
    }

    /// Loads the rules again if the host's routes have changed.
    pub(super) async fn refresh(&self) -> Result<()> {
        let routes = Routes::of(&self.links, |name| name.starts_with(UPLINK_PREFIX)).await?;
        let mut rules = ruleset(&routes, &self.fenced, self.underlay.address);
        if Path::new("/proc/sys/net/ipv6").exists() {
            rules.push_str(FENCE6);
        }
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if *loaded != rules {
            self.netns.run(|| nftables::load_here(&rules))?;
            *loaded = rules;
        }
        Ok(())
    }

    /// A free uplink network; `wish` is one that a router on this host already uses.
    pub(super) fn take_uplink(&self, wish: Option<u16>) -> Result<Uplink> {
        let mut taken = self.uplinks.lock().unwrap_or_else(PoisonError::into_inner);
        let free = || (0..UPLINKS_MAX).find(|i| !taken.contains(i));
        let index = wish.or_else(free).ok_or_else(|| Error::NoCapacity("no more networks on this host".into()))?;
        taken.insert(index);
        Ok(Uplink(index))
    }

    pub(super) fn give_uplink(&self, uplink: Uplink) {
        self.uplinks.lock().unwrap_or_else(PoisonError::into_inner).remove(&uplink.0);
    }

    /// Those that an earlier agent let in: they stay until it is known that they need not.
    fn take_up_vteps(&self) -> Result<()> {
        let found = self.netns.run(|| nftables::elements_here(TABLE, PEERS))?;
        let found = found.iter().filter_map(|text| text.parse::<Ipv4Addr>().ok());
        self.vteps.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        Ok(())
    }

    /// Lets VXLAN packets of another host in.
    pub(super) fn admit_vtep(&self, vtep: Ipv4Addr) -> Result<()> {
        self.change_vtep(Verb::NewElement, vtep)?;
        self.vteps.lock().unwrap_or_else(PoisonError::into_inner).insert(vtep);
        Ok(())
    }

    /// Shuts out all hosts that are not among `vteps`.
    pub(super) fn keep_vteps(&self, vteps: &BTreeSet<Ipv4Addr>) -> Result<()> {
        let mut admitted = self.vteps.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in admitted.difference(vteps) {
            self.change_vtep(Verb::DeleteElement, *gone)?;
        }
        admitted.retain(|vtep| vteps.contains(vtep));
        Ok(())
    }

    fn change_vtep(&self, verb: Verb, vtep: Ipv4Addr) -> Result<()> {
        let batch = Batch::new().push(verb, FAMILY_IPV4, element(TABLE, PEERS, &vtep.octets()));
        match self.nft.commit(batch) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::because("change the VXLAN peers", e)),
            _ => Ok(()),
        }
    }

    /// Sends what comes for the port to the router.
    pub(super) fn publish(&self, port: HostPort, router: Ipv4Addr) -> Result<()> {
        published::lead(&self.nft, TABLE, port, (router, port.host_port))
    }

    pub(super) fn withdraw(&self, port: HostPort) -> Result<()> {
        published::stop(&self.nft, TABLE, port)
    }

    /// Removes a router's uplink, both ends.
    pub(super) async fn remove_uplink(&self, vni: u32) -> Result<()> {
        links::delete(&self.links, &uplink_name(vni)).await
    }
}

pub(super) fn uplink_name(vni: u32) -> String {
    format!("{UPLINK_PREFIX}{vni}")
}

/// A /30: the host has the first address, the router the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Uplink(pub(super) u16);

impl Uplink {
    pub(super) const PREFIX: u8 = 30;

    pub(super) fn host(self) -> Ipv4Addr {
        self.nth(1)
    }

    pub(super) fn router(self) -> Ipv4Addr {
        self.nth(2)
    }

    fn nth(self, n: u32) -> Ipv4Addr {
        (u32::from(UPLINKS.network()) + u32::from(self.0) * 4 + n).into()
    }
}

/// `add` and `flush` rather than `delete`: the peers' set keeps its elements.
fn ruleset(routes: &Routes, fenced: &[Ipv4Net], own: Ipv4Addr) -> String {
    let never = NEVER.iter().map(|n| (*n).to_owned());
    let near = routes.near.iter().chain(fenced).map(Ipv4Net::to_string);
    let fence = never.chain(near).collect::<Vec<_>>().join(", ");
    let egress = match &routes.egress {
        Some(name) => format!("oifname != \"{name}\" drop"),
        None => "drop".to_owned(),
    };
    // A container reaches no published port by way of its own host: it dials the tenant's address.
    let leaving = format!("        iifname \"{UPLINK_PREFIX}*\" return\n");
    let (maps, published) = (published::declarations(TABLE), published::chain(&leaving, &format!("ip daddr {own}")));
    format!(
        "add table ip {TABLE}
flush table ip {TABLE}
{maps}add set ip {TABLE} fenced {{ type ipv4_addr; flags interval; auto-merge; }}
flush set ip {TABLE} fenced
add element ip {TABLE} fenced {{ {fence} }}
add set ip {TABLE} {PEERS} {{ type ipv4_addr; }}
table ip {TABLE} {{
{published}    chain forward {{
        type filter hook forward priority 0; policy accept;
        iifname \"wu*\" jump leaving
        oifname \"wu*\" ct state established,related accept
        oifname \"wu*\" ct status dnat accept
        oifname \"wu*\" drop
    }}
    chain leaving {{
        tcp flags syn / syn,rst tcp option maxseg size set rt mtu
        ct state invalid drop
        ct state established,related accept
        oifname \"wu*\" drop
        ip daddr @fenced drop
        udp dport {{ 4789, 8472 }} drop
        {egress}
    }}
    chain input {{
        type filter hook input priority 0; policy accept;
        iifname \"wu*\" ct state established,related accept
        iifname \"wu*\" drop
        udp dport 4789 ip saddr != @{PEERS} drop
    }}
    chain postrouting {{
        type nat hook postrouting priority 100;
        ip saddr {UPLINKS} oifname != \"wu*\" masquerade
    }}
}}
"
    )
}

/// A second lock: routers have no IPv6 on their uplinks.
const FENCE6: &str = "add table ip6 wharfinger
flush table ip6 wharfinger
table ip6 wharfinger {
    chain forward {
        type filter hook forward priority 0; policy accept;
        iifname \"wu*\" drop
        oifname \"wu*\" drop
    }
    chain input {
        type filter hook input priority 0; policy accept;
        iifname \"wu*\" drop
    }
}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uplinks_are_networks_of_four_addresses() {
        assert_eq!(Uplink(0).host(), Ipv4Addr::new(100, 64, 0, 1));
        assert_eq!(Uplink(65).router(), Ipv4Addr::new(100, 64, 1, 6));
        assert_eq!(Uplink(UPLINKS_MAX - 1).router(), Ipv4Addr::new(100, 64, 255, 254));
    }

    #[test]
    fn without_a_default_route_nothing_leaves() {
        let rules = ruleset(&Routes::default(), &[], Ipv4Addr::LOCALHOST);
        assert!(rules.contains("udp dport { 4789, 8472 } drop\n        drop"), "{rules}");
    }
}
