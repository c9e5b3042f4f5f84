//! N06-N10: one endpoint's settings.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use docker_api::types::{EndpointIpamConfig, EndpointSettings};
use domain::{Error, Result, spec::NetworkWish};

use super::DEFAULT;
use crate::{
    names::is_dns_name,
    refuse::{forbidden, list, malformed, unsupported},
    sysctls,
};

const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
const IFNAME: &str = "com.docker.network.endpoint.ifname";
const DRIVER_OPTS: &str = "NetworkingConfig.EndpointsConfig.DriverOpts";

pub(super) fn resolve(
    network: &str,
    given: EndpointSettings,
    all_sysctls: &mut BTreeMap<String, String>,
) -> Result<NetworkWish> {
    // What Docker fills in itself is tolerated (clients send back what `inspect` gave them) and dropped.
    let EndpointSettings {
        ipam_config,
        links,
        mac_address,
        aliases,
        driver_opts,
        gw_priority: _,
        network_id: _,
        endpoint_id: _,
        gateway: _,
        ip_address: _,
        ip_prefix_len: _,
        ipv6_gateway: _,
        global_ipv6_address: _,
        global_ipv6_prefix_len: _,
        dns_names: _,
    } = given;
    if let Some(links) = links.filter(|l| !l.is_empty()) {
        return Err(unsupported("NetworkingConfig.EndpointsConfig.Links", list(&links)));
    }
    for (key, value) in driver_opts.into_iter().flatten() {
        driver_opt(&key, &value, all_sysctls)?;
    }
    let (ipv4, ipv6) = ipam(ipam_config.unwrap_or_default())?;
    let aliases = aliases.unwrap_or_default();
    if network == DEFAULT && (ipv4.is_some() || ipv6.is_some()) {
        return Err(Error::invalid(
            "invalid endpoint settings:\nuser-specified IP address is supported on user defined networks only",
        ));
    }
    if network == DEFAULT && !aliases.is_empty() {
        return Err(Error::invalid(
            "invalid endpoint settings:\nnetwork-scoped aliases are only supported for user-defined networks",
        ));
    }
    if let Some(bad) = aliases.iter().find(|a| !is_dns_name(a, 253)) {
        return Err(malformed("NetworkingConfig.EndpointsConfig.Aliases", bad, "not a DNS name", "N08"));
    }
    let mac = mac_address.filter(|m| !m.is_empty()).map(|m| mac(&m)).transpose()?;
    Ok(NetworkWish { network: network.to_owned(), aliases, ipv4, ipv6, mac })
}

/// Whether they are of the network's subnets is the inventory's to say.
fn ipam(given: EndpointIpamConfig) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>)> {
    let EndpointIpamConfig { ipv4_address, ipv6_address, link_local_ips } = given;
    if let Some(ips) = link_local_ips.filter(|l| !l.is_empty()) {
        return Err(forbidden("NetworkingConfig.EndpointsConfig.IPAMConfig.LinkLocalIPs", list(&ips), "N06"));
    }
    Ok((static_address("IPv4", ipv4_address)?, static_address("IPv6", ipv6_address)?))
}

fn static_address<A: FromStr>(family: &str, given: Option<String>) -> Result<Option<A>> {
    let parse = |a: String| {
        a.parse().map_err(|_| Error::invalid(format!("invalid {family} address: {} (policy N06)", a.escape_debug())))
    };
    given.filter(|a| !a.is_empty()).map(parse).transpose()
}

fn driver_opt(key: &str, value: &str, all_sysctls: &mut BTreeMap<String, String>) -> Result<()> {
    match key {
        SYSCTLS => {
            for setting in value.split(',').filter(|s| !s.is_empty()) {
                let (name, number) =
                    setting.split_once('=').ok_or_else(|| malformed(DRIVER_OPTS, setting, "needs a =", "P13"))?;
                let (name, number) = sysctls::one(DRIVER_OPTS, name, number)?;
                all_sysctls.insert(name, number);
            }
            Ok(())
        }
        IFNAME if is_interface(value) => Err(unsupported(DRIVER_OPTS, format!("{key}={value}"))),
        IFNAME => Err(malformed(DRIVER_OPTS, format!("{key}={value}"), "must be [a-z0-9]{1,15}", "N09")),
        _ => Err(forbidden(DRIVER_OPTS, key, "N09")),
    }
}

fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// N07: unicast and locally administered, so that it cannot be a machine's or the router's own by accident.
fn mac(given: &str) -> Result<String> {
    let bad = |why| malformed("MacAddress", given, why, "N07");
    let parts: Vec<&str> = given.split([':', '-']).collect();
    let bytes: Option<Vec<u8>> = parts
        .iter()
        .map(|p| if p.len() == 2 && !p.starts_with('+') { u8::from_str_radix(p, 16).ok() } else { None })
        .collect();
    match bytes.as_deref() {
        Some([first, ..]) if parts.len() == 6 => match first & 3 {
            2 => Ok(parts.join(":").to_ascii_lowercase()),
            _ => Err(bad("must be unicast and locally administered")),
        },
        _ => Err(bad("not a MAC address")),
    }
}
