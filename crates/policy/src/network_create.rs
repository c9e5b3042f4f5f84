//! N01-N05: a network of the tenant's own.
//!
//! Whether the subnet overlaps another of the tenant's networks is the inventory's to say; overlapping another tenant's is
//! legal.

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
};

use docker_api::types::{ConfigFrom, Ipam, IpamConfig, NetworkCreateBody};
use domain::{Error, Kind, NewNetwork, Result};
use ipnet::Ipv4Net;

use crate::{
    labels,
    names::is_object_name,
    refuse::{forbidden, forbidden_because, list, malformed, unsupported},
};

/// Docker's driver option for the MTU.
const MTU: &str = "com.docker.network.driver.mtu";
const MTU_LEAST: u16 = 1280; // below it IPv6 cannot work
const MTU_MOST: u16 = 9000; // a wish above what the underlay carries is clamped where the link is made
const PREDEFINED: [&str; 4] = ["bridge", "default", "host", "none"];
/// Private address space (RFC 1918).
const PRIVATE: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
];
const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

/// What the inventory is asked to make.
#[derive(Debug, PartialEq, Eq)]
pub struct AcceptedNetwork {
    pub network: NewNetwork,
    pub warnings: Vec<String>,
}

/// `reserved`: what no tenant's network may overlap, such as the underlay.
pub fn network_create(body: NetworkCreateBody, reserved: &[Ipv4Net]) -> Result<AcceptedNetwork> {
    let NetworkCreateBody {
        name,
        check_duplicate: _,
        driver,
        scope,
        internal,
        attachable,
        ingress,
        config_only,
        config_from,
        ipam,
        enable_ipv4,
        enable_ipv6,
        options,
        labels,
    } = body;
    let mut warnings = Vec::new();
    check_name(&name)?;
    check_driver(driver.as_deref().unwrap_or_default())?;
    check_swarm(scope.as_deref().unwrap_or_default(), ingress, config_only, config_from)?;
    if attachable == Some(true) {
        warnings.push("Attachable is ignored: every network of this endpoint is (policy N04)".to_owned());
    }
    if enable_ipv6 == Some(true) {
        return Err(unsupported("EnableIPv6", true));
    }
    if enable_ipv4 == Some(false) {
        return Err(unsupported("EnableIPv4", false));
    }
    let addresses = addresses(ipam.unwrap_or_default(), reserved)?;
    let network = NewNetwork {
        name,
        internal: internal.unwrap_or(false),
        labels: labels::merge(labels.unwrap_or_default(), None, &mut warnings)?,
        options: driver_options(options.unwrap_or_default())?,
        ..addresses
    };
    Ok(AcceptedNetwork { network, warnings })
}

fn check_name(name: &str) -> Result<()> {
    if PREDEFINED.contains(&name) {
        return Err(Error::conflict(format!("operation is not permitted on predefined {name} network (policy N05)")));
    }
    match is_object_name(name) {
        true => Ok(()),
        false if name.is_empty() => Err(Error::invalid("invalid name: name is empty")),
        false => Err(malformed("Name", name, "must match [a-zA-Z0-9][a-zA-Z0-9_.-]*", "N05")),
    }
}

fn check_driver(driver: &str) -> Result<()> {
    match driver {
        "" | "default" | "bridge" | "overlay" => Ok(()),
        other => Err(forbidden_because("Driver", other, "networks are the endpoint's own overlays", "N01")),
    }
}

fn check_swarm(
    scope: &str,
    ingress: Option<bool>,
    config_only: Option<bool>,
    config_from: Option<ConfigFrom>,
) -> Result<()> {
    match scope {
        "" | "local" => {}
        "swarm" | "global" => return Err(unsupported("Scope", scope)),
        other => return Err(malformed("Scope", other, "must be local", "N04")),
    }
    if ingress == Some(true) {
        return Err(unsupported("Ingress", true));
    }
    if config_only == Some(true) {
        return Err(unsupported("ConfigOnly", true));
    }
    match config_from.map(|ConfigFrom { network }| network).filter(|n| !n.is_empty()) {
        Some(network) => Err(Error::not_found(Kind::Network, network)),
        None => Ok(()),
    }
}

/// N02: the MTU, and nothing of the host's.
fn driver_options(given: HashMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut kept = BTreeMap::new();
    for (key, value) in given {
        if key != MTU {
            return Err(forbidden("Options", format!("{key}={value}"), "N02"));
        }
        match value.parse::<u16>() {
            Ok(mtu) if (MTU_LEAST..=MTU_MOST).contains(&mtu) => kept.insert(key, mtu.to_string()),
            _ => {
                return Err(malformed(
                    "Options",
                    format!("{key}={value}"),
                    &format!("must be {MTU_LEAST} to {MTU_MOST}"),
                    "N02",
                ));
            }
        };
    }
    Ok(kept)
}

/// N03. Only the address fields of what is returned are set.
fn addresses(ipam: Ipam, reserved: &[Ipv4Net]) -> Result<NewNetwork> {
    let Ipam { driver, config, options } = ipam;
    if let Some(driver) = driver.filter(|d| !matches!(d.as_str(), "" | "default")) {
        return Err(forbidden("IPAM.Driver", driver, "N03"));
    }
    if let Some(key) = options.unwrap_or_default().into_keys().next() {
        return Err(forbidden("IPAM.Options", key, "N03"));
    }
    let mut config = config.unwrap_or_default().into_iter();
    let Some(IpamConfig { subnet, ip_range, gateway, auxiliary_addresses }) = config.next() else {
        return Ok(NewNetwork::default());
    };
    if config.next().is_some() {
        return Err(unsupported("IPAM.Config", "more than one subnet"));
    }
    let auxiliary = auxiliary_addresses.unwrap_or_default();
    let filled = |field: Option<String>| field.filter(|f| !f.is_empty());
    let Some(subnet) = filled(subnet) else {
        let rest = [("IPRange", filled(ip_range)), ("Gateway", filled(gateway))];
        if let Some((field, value)) = rest.into_iter().find_map(|(f, v)| Some((f, v?))) {
            return Err(malformed(&format!("IPAM.Config.{field}"), value, "needs a subnet", "N03"));
        }
        if !auxiliary.is_empty() {
            let names: Vec<String> = auxiliary.into_keys().collect();
            return Err(malformed("IPAM.Config.AuxiliaryAddresses", list(&names), "needs a subnet", "N03"));
        }
        return Ok(NewNetwork::default());
    };
    let subnet = tenants_subnet(&subnet, reserved)?;
    let gateway = filled(gateway).map(|g| host_in(subnet, "Gateway", &g)).transpose()?;
    let auxiliary = auxiliary.into_iter().map(|(name, a)| Ok((name, host_in(subnet, "AuxiliaryAddresses", &a)?)));
    Ok(NewNetwork {
        subnet: Some(subnet),
        gateway,
        ip_range: filled(ip_range).map(|r| range_in(subnet, &r)).transpose()?,
        auxiliary: auxiliary.collect::<Result<_>>()?,
        ..NewNetwork::default()
    })
}

fn tenants_subnet(given: &str, reserved: &[Ipv4Net]) -> Result<Ipv4Net> {
    let bad = |why: String| Error::invalid(format!("invalid network config:\ninvalid subnet {}: {why}", shown(given)));
    if given.contains("::") {
        return Err(unsupported("IPAM.Config.Subnet", given));
    }
    let subnet: Ipv4Net = given.parse().map_err(|_| bad("invalid CIDR block notation".to_owned()))?;
    if subnet.trunc() != subnet {
        return Err(bad(format!("it should be {}", subnet.trunc())));
    }
    if !PREFIXES.contains(&subnet.prefix_len()) {
        return Err(malformed("IPAM.Config.Subnet", given, "the prefix must be /16 to /28", "N03"));
    }
    if !PRIVATE.iter().any(|p| p.contains(&subnet)) {
        return Err(forbidden_because("IPAM.Config.Subnet", given, "not private address space", "N03"));
    }
    match reserved.iter().any(|r| r.contains(&subnet) || subnet.contains(r)) {
        true => Err(forbidden_because("IPAM.Config.Subnet", given, "reserved by the operator", "N03")),
        false => Ok(subnet),
    }
}

/// An address that a machine of the subnet may have.
fn host_in(subnet: Ipv4Net, field: &str, given: &str) -> Result<Ipv4Addr> {
    let bad = |why: &str| malformed(&format!("IPAM.Config.{field}"), given, why, "N03");
    let address: Ipv4Addr = given.parse().map_err(|_| bad("not an IPv4 address"))?;
    match subnet.contains(&address) && address != subnet.network() && address != subnet.broadcast() {
        true => Ok(address),
        false => Err(bad("not an address of the subnet's machines")),
    }
}

fn range_in(subnet: Ipv4Net, given: &str) -> Result<Ipv4Net> {
    let bad = |why: &str| malformed("IPAM.Config.IPRange", given, why, "N03");
    let range: Ipv4Net = given.parse().map_err(|_| bad("not an IPv4 network"))?;
    // A single address is a legal range; dockerd tolerates host bits here.
    match subnet.contains(&range.trunc()) {
        true => Ok(range.trunc()),
        false => Err(bad("not inside the subnet")),
    }
}

fn shown(given: &str) -> String {
    given.chars().take(64).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: serde_json::Value) -> NetworkCreateBody {
        docker_api::strict::parse(json.to_string().as_bytes()).expect("body")
    }

    fn create(json: serde_json::Value) -> Result<AcceptedNetwork> {
        network_create(body(json), &["10.90.0.0/16".parse().unwrap()])
    }

    #[test]
    fn what_clients_send_is_accepted() {
        let plain = serde_json::json!({"Name": "a", "CheckDuplicate": true, "Driver": "bridge", "EnableIPv6": false,
            "IPAM": {"Driver": "default", "Options": {}, "Config": []}, "Options": {}, "Labels": {"x": "y"}});
        let accepted = create(plain).expect("plain");
        assert_eq!((accepted.network.subnet, accepted.network.labels["x"].as_str()), (None, "y"));
        let full = serde_json::json!({"Name": "b", "Internal": true, "Attachable": true,
            "IPAM": {"Config": [{"Subnet": "10.213.0.0/24", "IPRange": "10.213.0.128/25", "Gateway": "10.213.0.9",
                "AuxiliaryAddresses": {"printer": "10.213.0.5"}}]},
            "Options": {"com.docker.network.driver.mtu": "1400"}});
        let accepted = create(full).expect("full");
        assert_eq!(accepted.network.gateway, Some(Ipv4Addr::new(10, 213, 0, 9)));
        assert_eq!(accepted.network.ip_range.map(|r| r.to_string()).as_deref(), Some("10.213.0.128/25"));
        assert!(accepted.network.internal && accepted.warnings.len() == 1);
    }

    #[test]
    fn hostile_networks_are_refused_by_rule() {
        let ipam = |config: serde_json::Value| serde_json::json!({"Name": "a", "IPAM": {"Config": [config]}});
        let options = |k: &str, v: &str| serde_json::json!({"Name": "a", "Options": {k: v}});
        for (bad, says) in [
            (serde_json::json!({"Name": "host"}), "predefined"),
            (serde_json::json!({"Name": "a b"}), "N05"),
            (serde_json::json!({"Name": ""}), "name is empty"),
            (serde_json::json!({"Name": "a", "Driver": "macvlan"}), "N01"),
            (serde_json::json!({"Name": "a", "Driver": "host"}), "N01"),
            (serde_json::json!({"Name": "a", "Scope": "swarm"}), "Scope"),
            (serde_json::json!({"Name": "a", "Ingress": true}), "Ingress"),
            (serde_json::json!({"Name": "a", "ConfigOnly": true}), "ConfigOnly"),
            (serde_json::json!({"Name": "a", "ConfigFrom": {"Network": "x"}}), "network x not found"),
            (serde_json::json!({"Name": "a", "EnableIPv6": true}), "EnableIPv6"),
            (serde_json::json!({"Name": "a", "Labels": {"com.wharfinger.system.x": "1"}}), "P15"),
            (serde_json::json!({"Name": "a", "IPAM": {"Driver": "evil"}}), "N03"),
            (serde_json::json!({"Name": "a", "IPAM": {"Options": {"x": "y"}}}), "N03"),
            (options("com.docker.network.bridge.name", "eth0"), "N02"),
            (options("parent", "eth0"), "N02"),
            (options(MTU, "100"), "N02"),
            (options(MTU, "70000"), "N02"),
            (ipam(serde_json::json!({"Subnet": "10.0.0.1/24"})), "it should be 10.0.0.0/24"),
            (ipam(serde_json::json!({"Subnet": "nonsense"})), "invalid CIDR"),
            (ipam(serde_json::json!({"Subnet": "8.8.8.0/24"})), "N03"),
            (ipam(serde_json::json!({"Subnet": "169.254.0.0/16"})), "N03"),
            (ipam(serde_json::json!({"Subnet": "127.0.0.0/16"})), "N03"),
            (ipam(serde_json::json!({"Subnet": "10.0.0.0/8"})), "/16 to /28"),
            (ipam(serde_json::json!({"Subnet": "10.90.3.0/24"})), "reserved"),
            (ipam(serde_json::json!({"Subnet": "fd00::/64"})), "not supported"),
            (ipam(serde_json::json!({"Subnet": "10.1.0.0/24", "Gateway": "10.2.0.1"})), "Gateway"),
            (ipam(serde_json::json!({"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.255"})), "Gateway"),
            (ipam(serde_json::json!({"Subnet": "10.1.0.0/24", "IPRange": "10.2.0.0/25"})), "IPRange"),
            (ipam(serde_json::json!({"Gateway": "10.2.0.1"})), "needs a subnet"),
        ] {
            let error = create(bad.clone()).expect_err(&bad.to_string());
            assert!(error.to_string().contains(says), "{bad}: {error}");
        }
    }
}
