//! N03: the subnets of a network, one of each family. Only the address fields of what is returned are set.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use docker_api::types::{Ipam, IpamConfig};
use domain::{Error, NewNetwork, NewNetworkIpv6, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::refuse::{forbidden, forbidden_because, list, malformed, unsupported};

const RULE: &str = "N03";
/// Private address space (RFC 1918).
const PRIVATE: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
];
/// Unique local addresses (RFC 4193); the other half of fc00::/7 is not given out by anybody.
const UNIQUE_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0), 8);
const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;
/// The narrowest has room for every address of the widest IPv4 subnet.
const PREFIXES_IPV6: std::ops::RangeInclusive<u8> = 48..=112;

/// Of a network without IPv6, subnets of that family are ignored, as dockerd does; here the answer says so.
pub(super) fn addresses(ipam: Ipam, ipv6: bool, reserved: &[IpNet], warnings: &mut Vec<String>) -> Result<NewNetwork> {
    let Ipam { driver, config, options } = ipam;
    if let Some(driver) = driver.filter(|d| !matches!(d.as_str(), "" | "default")) {
        return Err(forbidden("IPAM.Driver", driver, RULE));
    }
    if let Some(key) = options.unwrap_or_default().into_keys().next() {
        return Err(forbidden("IPAM.Options", key, RULE));
    }
    let mut network = NewNetwork { ipv6: ipv6.then(NewNetworkIpv6::default), ..NewNetwork::default() };
    for config in config.unwrap_or_default() {
        let Some((subnet, rest)) = Rest::of(config)? else { continue };
        match subnet {
            IpNet::V4(_) if network.subnet.is_some() => {
                return Err(unsupported("IPAM.Config", "more than one IPv4 subnet"));
            }
            IpNet::V4(subnet) => {
                check(subnet.into(), reserved)?;
                network.subnet = Some(subnet);
                network.gateway = rest.gateway(subnet.into())?.and_then(v4);
                network.ip_range = rest.range(subnet.into())?.and_then(v4_net);
                network.auxiliary = rest.auxiliary(subnet.into(), v4)?;
            }
            IpNet::V6(subnet) => match &mut network.ipv6 {
                None => warnings.push(format!("the subnet {subnet} is ignored: EnableIPv6 is not set (policy {RULE})")),
                Some(side) if side.subnet.is_some() => {
                    return Err(unsupported("IPAM.Config", "more than one IPv6 subnet"));
                }
                Some(side) => {
                    check(subnet.into(), reserved)?;
                    *side = NewNetworkIpv6 {
                        subnet: Some(subnet),
                        gateway: rest.gateway(subnet.into())?.and_then(v6),
                        range: rest.range(subnet.into())?.and_then(v6_net),
                        auxiliary: rest.auxiliary(subnet.into(), v6)?,
                    };
                }
            },
        }
    }
    Ok(network)
}

/// What must be inside the subnet.
struct Rest {
    range: Option<String>,
    gateway: Option<String>,
    auxiliary: HashMap<String, String>,
}

impl Rest {
    /// With the subnet as it was given; `None` where there is nothing.
    fn of(config: IpamConfig) -> Result<Option<(IpNet, Self)>> {
        let IpamConfig { subnet, ip_range, gateway, auxiliary_addresses } = config;
        let filled = |field: Option<String>| field.filter(|f| !f.is_empty());
        let auxiliary = auxiliary_addresses.unwrap_or_default();
        let rest = Self { range: filled(ip_range), gateway: filled(gateway), auxiliary };
        match filled(subnet) {
            Some(given) => {
                let bad = |_| bad_subnet(&given, "invalid CIDR block notation");
                Ok(Some((given.parse().map_err(bad)?, rest)))
            }
            None => rest.must_be_empty().map(|()| None),
        }
    }

    fn must_be_empty(&self) -> Result<()> {
        let fields = [("IPRange", &self.range), ("Gateway", &self.gateway)];
        if let Some((field, value)) = fields.into_iter().find_map(|(f, v)| Some((f, v.as_ref()?))) {
            return Err(malformed(&format!("IPAM.Config.{field}"), value, "needs a subnet", RULE));
        }
        if self.auxiliary.is_empty() {
            return Ok(());
        }
        let names: Vec<&String> = self.auxiliary.keys().collect();
        Err(malformed("IPAM.Config.AuxiliaryAddresses", list(&names), "needs a subnet", RULE))
    }

    fn gateway(&self, subnet: IpNet) -> Result<Option<IpAddr>> {
        self.gateway.as_ref().map(|g| host_in(subnet, "Gateway", g)).transpose()
    }

    fn range(&self, subnet: IpNet) -> Result<Option<IpNet>> {
        self.range.as_ref().map(|r| range_in(subnet, r)).transpose()
    }

    fn auxiliary<A>(&self, subnet: IpNet, family: fn(IpAddr) -> Option<A>) -> Result<BTreeMap<String, A>> {
        let mut kept = BTreeMap::new();
        for (name, given) in &self.auxiliary {
            if let Some(address) = family(host_in(subnet, "AuxiliaryAddresses", given)?) {
                kept.insert(name.clone(), address);
            }
        }
        Ok(kept)
    }
}

fn check(subnet: IpNet, reserved: &[IpNet]) -> Result<()> {
    if subnet.trunc() != subnet {
        return Err(bad_subnet(&subnet.to_string(), &format!("it should be {}", subnet.trunc())));
    }
    let field = "IPAM.Config.Subnet";
    let (prefixes, own, why) = match subnet {
        IpNet::V4(net) => (PREFIXES, PRIVATE.iter().any(|p| p.contains(&net)), "not private address space"),
        IpNet::V6(net) => (PREFIXES_IPV6, UNIQUE_LOCAL.contains(&net), "not of the unique local addresses, fd00::/8"),
    };
    if !own {
        return Err(forbidden_because(field, subnet, why, RULE));
    }
    if !prefixes.contains(&subnet.prefix_len()) {
        let why = format!("the prefix must be /{} to /{}", prefixes.start(), prefixes.end());
        return Err(malformed(field, subnet, &why, RULE));
    }
    match reserved.iter().any(|r| r.contains(&subnet) || subnet.contains(r)) {
        true => Err(forbidden_because(field, subnet, "reserved by the operator", RULE)),
        false => Ok(()),
    }
}

/// An address that a machine of the subnet may have. IPv6 has no broadcast address.
fn host_in(subnet: IpNet, field: &str, given: &str) -> Result<IpAddr> {
    let bad = |why: &str| malformed(&format!("IPAM.Config.{field}"), given, why, RULE);
    let address: IpAddr = given.parse().map_err(|_| bad("not an IP address"))?;
    let is_broadcast = address.is_ipv4() && address == subnet.broadcast();
    match subnet.contains(&address) && address != subnet.network() && !is_broadcast {
        true => Ok(address),
        false => Err(bad("not an address of the subnet's machines")),
    }
}

fn range_in(subnet: IpNet, given: &str) -> Result<IpNet> {
    let bad = |why: &str| malformed("IPAM.Config.IPRange", given, why, RULE);
    let range: IpNet = given.parse().map_err(|_| bad("not a network"))?;
    // A single address is a legal range; dockerd tolerates host bits here.
    let range = range.trunc();
    if !subnet.contains(&range) {
        return Err(bad("not inside the subnet"));
    }
    match range {
        IpNet::V6(range) if range.prefix_len() > *PREFIXES_IPV6.end() => {
            Err(bad(&format!("the prefix must be /{} or shorter", PREFIXES_IPV6.end())))
        }
        _ => Ok(range),
    }
}

fn bad_subnet(given: &str, why: &str) -> Error {
    let shown = given.chars().take(64).collect::<String>().escape_debug().to_string();
    Error::invalid(format!("invalid network config:\ninvalid subnet {shown}: {why}"))
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    }
}

fn v4_net(net: IpNet) -> Option<Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    }
}

fn v6_net(net: IpNet) -> Option<Ipv6Net> {
    match net {
        IpNet::V6(net) => Some(net),
        IpNet::V4(_) => None,
    }
}
