//! N13, N14: `/etc/resolv.conf` and `/etc/hosts`. Control characters would forge lines in both.

use std::net::IpAddr;

use domain::{
    Error, Result,
    spec::{DnsSettings, ExtraHost},
};

use crate::{
    names::{is_dns_name, is_object_name},
    refuse::{forbidden, malformed},
};

/// Digits of a short container id.
const SHORT_ID: usize = 12;
const FLAGS: [&str; 12] = [
    "debug",
    "edns0",
    "inet6",
    "no-aaaa",
    "no-check-names",
    "no-reload",
    "no-tld-query",
    "rotate",
    "single-request",
    "single-request-reopen",
    "trust-ad",
    "use-vc",
];

pub(crate) fn settings(
    servers: &[String],
    search: &[String],
    options: &[String],
    links: &[String],
) -> Result<DnsSettings> {
    let server =
        |s: &String| s.parse::<IpAddr>().map_err(|_| malformed("HostConfig.Dns", s, "must be an IP address", "N14"));
    if let Some(bad) = search.iter().find(|s| *s != "." && !is_dns_name(s, 253)) {
        return Err(malformed("HostConfig.DnsSearch", bad, "not a DNS name", "N14"));
    }
    if let Some(bad) = options.iter().find(|o| !is_option(o)) {
        return Err(malformed("HostConfig.DnsOptions", bad, "not a known option of resolv.conf", "N14"));
    }
    Ok(DnsSettings {
        servers: servers.iter().map(server).collect::<Result<_>>()?,
        search: search.to_vec(),
        options: options.to_vec(),
        links: links.iter().map(|link| one_link(link)).collect::<Result<_>>()?,
    })
}

/// N08: `container` or `container:alias`, to alias and container. The caller has looked the container up before.
fn one_link(given: &str) -> Result<(String, String)> {
    let bad = |why| malformed("HostConfig.Links", given, why, "N08");
    let (container, alias) = given.split_once(':').unwrap_or((given, given));
    let (container, alias) = (container.trim_start_matches('/'), alias.trim_start_matches('/'));
    if !is_object_name(container) || !is_dns_name(alias, 253) {
        return Err(bad("must be CONTAINER:ALIAS"));
    }
    // DNS knows a container by its short id.
    let is_id = container.len() > SHORT_ID && container.bytes().all(|b| b.is_ascii_hexdigit());
    let container = if is_id { &container[..SHORT_ID] } else { container };
    Ok((alias.to_ascii_lowercase(), container.to_owned()))
}

fn is_option(option: &str) -> bool {
    match option.split_once(':') {
        Some(("ndots" | "timeout" | "attempts", number)) => {
            number.bytes().all(|b| b.is_ascii_digit()) && number.parse::<u8>().is_ok()
        }
        Some(_) => false,
        None => FLAGS.contains(&option),
    }
}

/// `name:address`; IPv6 with or without brackets.
pub(crate) fn extra_hosts(given: &[String]) -> Result<Vec<ExtraHost>> {
    given.iter().map(|entry| extra_host(entry)).collect()
}

fn extra_host(entry: &str) -> Result<ExtraHost> {
    let bad = || Error::invalid(format!("bad format for add-host: \"{}\" (policy N13)", entry.escape_debug()));
    let (name, address) = entry.split_once([':', '=']).ok_or_else(bad)?;
    if address == "host-gateway" {
        return Err(forbidden("HostConfig.ExtraHosts", entry, "N13"));
    }
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if !is_dns_name(name, 253) {
        return Err(bad());
    }
    let address = bare.parse().map_err(|_| {
        Error::invalid(format!("invalid IP address in add-host: \"{}\" (policy N13)", address.escape_debug()))
    })?;
    Ok(ExtraHost { name: name.to_owned(), address })
}
