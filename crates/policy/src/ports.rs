//! N11, N12: exposed and published ports.

use std::collections::{BTreeMap, HashMap};

use docker_api::types::PortBinding;
use domain::{Error, PortWish, Protocol, Result};

use crate::refuse::{forbidden, forbidden_because, malformed};

/// Exposed, and published, for one container.
const PORTS_MAX: usize = 128;

/// The container of such a label is told who called, by the PROXY protocol; its value is the version.
const PROXY_LABEL: &str = "com.wharfinger.proxy-protocol";

pub(crate) type Bindings = HashMap<String, Option<Vec<PortBinding>>>;

/// Every key legal, none too many. Returns the keys in Docker's full form (`80/tcp`).
pub(crate) fn exposed(given: Option<Vec<String>>) -> Result<Option<Vec<String>>> {
    let Some(keys) = given else { return Ok(None) };
    if keys.len() > PORTS_MAX {
        return Err(malformed("ExposedPorts", keys.len(), "too many ports", "N11"));
    }
    keys.iter().map(|k| parse(k).map(|(port, protocol)| key(port, protocol))).collect::<Result<_>>().map(Some)
}

/// What is to be published: the bindings, and with `all` every exposed port that has none.
pub(crate) fn published(
    bindings: &Bindings,
    exposed: &[String],
    all: bool,
    labels: &BTreeMap<String, String>,
    reserved: &[u16],
) -> Result<Vec<PortWish>> {
    let proxy_protocol = wants_proxy_protocol(labels)?;
    let sorted: BTreeMap<_, _> = bindings.iter().collect();
    let mut ports = Vec::new();
    for (key, list) in sorted {
        let (container_port, protocol) = parse(key)?;
        for binding in list.iter().flatten() {
            ports.push(resolve(container_port, protocol, binding, reserved)?);
        }
    }
    if all {
        add_exposed(&mut ports, exposed)?;
    }
    if ports.len() > PORTS_MAX {
        return Err(malformed("HostConfig.PortBindings", ports.len(), "too many ports", "N11"));
    }
    ports.iter_mut().for_each(|port| port.proxy_protocol = proxy_protocol && port.protocol == Protocol::Tcp);
    Ok(ports)
}

fn wants_proxy_protocol(labels: &BTreeMap<String, String>) -> Result<bool> {
    match labels.get(PROXY_LABEL).map(String::as_str) {
        None => Ok(false),
        Some("v2") => Ok(true),
        Some(other) => {
            Err(malformed(&format!("Labels.{PROXY_LABEL}"), other.escape_debug(), "the one version is v2", "N11"))
        }
    }
}

fn add_exposed(ports: &mut Vec<PortWish>, exposed: &[String]) -> Result<()> {
    for key in exposed {
        let (container_port, protocol) = parse(key)?;
        if !ports.iter().any(|p| (p.container_port, p.protocol) == (container_port, protocol)) {
            ports.push(PortWish { container_port, protocol, host_ports: (0, 0), proxy_protocol: false });
        }
    }
    Ok(())
}

fn resolve(container_port: u16, protocol: Protocol, given: &PortBinding, reserved: &[u16]) -> Result<PortWish> {
    let PortBinding { host_ip, host_port } = given;
    // All of these mean the tenant's own address: the loopback of a Docker host is reached on the host only.
    let host_ip = host_ip.as_deref().unwrap_or_default();
    if !matches!(host_ip, "" | "0.0.0.0" | "::" | "127.0.0.1") {
        return Err(forbidden("HostConfig.PortBindings.HostIp", host_ip, "N11"));
    }
    let host_ports = host_range(host_port.as_deref().unwrap_or_default())?;
    if let Some(port) = reserved.iter().find(|p| (host_ports.0..=host_ports.1).contains(p)) {
        return Err(forbidden_because("HostConfig.PortBindings.HostPort", port, "the port is reserved", "N11"));
    }
    Ok(PortWish { container_port, protocol, host_ports, proxy_protocol: false })
}

/// `""` and `0` are "any", `8080`, `8080-8090`.
fn host_range(given: &str) -> Result<(u16, u16)> {
    let bad = || Error::invalid(format!("invalid port specification: \"{}\" (policy N11)", given.escape_debug()));
    if matches!(given, "" | "0") {
        return Ok((0, 0));
    }
    let (first, last) = given.split_once('-').unwrap_or((given, given));
    let range = (number(first).ok_or_else(bad)?, number(last).ok_or_else(bad)?);
    let is_legal = range.0 <= range.1 && usize::from(range.1 - range.0) < PORTS_MAX;
    if is_legal { Ok(range) } else { Err(bad()) }
}

/// `80/tcp`, `53/udp`, `80`.
fn parse(key: &str) -> Result<(u16, Protocol)> {
    let bad = || Error::invalid(format!("invalid port specification: \"{}\" (policy N11)", key.escape_debug()));
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => return Err(crate::refuse::unsupported("port", key)),
        _ => return Err(bad()),
    };
    Ok((number(port).ok_or_else(bad)?, protocol))
}

fn key(port: u16, protocol: Protocol) -> String {
    format!("{port}/{}", protocol.as_str())
}

fn number(text: &str) -> Option<u16> {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(key: &str, ip: &str, port: &str) -> Result<Vec<PortWish>> {
        let binding = PortBinding { host_ip: Some(ip.to_owned()), host_port: Some(port.to_owned()) };
        published(
            &HashMap::from([(key.to_owned(), Some(vec![binding]))]),
            &["53/udp".to_owned()],
            true,
            &BTreeMap::new(),
            &[22],
        )
    }

    #[test]
    fn bindings_and_publish_all() {
        let ports = bind("80", "127.0.0.1", "").expect("golden");
        assert_eq!((ports[0].container_port, ports[0].host_ports), (80, (0, 0)));
        assert_eq!((ports[1].container_port, ports[1].protocol), (53, Protocol::Udp));
        assert_eq!(bind("80/tcp", "", "8000-8010").expect("range")[0].host_ports, (8000, 8010));
        assert_eq!(exposed(Some(vec!["80".to_owned()])).expect("short"), Some(vec!["80/tcp".to_owned()]));
    }

    #[test]
    fn what_is_not_a_port_is_refused() {
        for (key, ip, port) in [
            ("0/tcp", "", ""),
            ("19039;1230", "", ""),
            ("80/icmp", "", ""),
            ("65536", "", ""),
            ("80", "10.0.0.1", ""),
            ("80", "::", "22"),
            ("80", "", "1-65535"),
            ("80", "", "20-30"),
            ("80", "", "9-8"),
            ("80", "", "x"),
            ("+80", "", ""),
        ] {
            assert!(bind(key, ip, port).is_err(), "{key} {ip} {port}");
        }
        let many = (1..=129).map(|p| p.to_string()).collect();
        assert!(exposed(Some(many)).is_err());
    }
}
