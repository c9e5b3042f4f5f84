//! N11, N12: exposed and published ports.

use std::collections::{BTreeMap, HashMap};

use docker_api::types::PortBinding;
use domain::{Error, Result};

use crate::refuse::{forbidden, forbidden_because, malformed};

/// Exposed, and published, for one container.
const PORTS_MAX: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port of the container that shall be reached from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPort {
    pub container_port: u16,
    pub protocol: Protocol,
    /// As given: `""`, `0.0.0.0`, `::` or `127.0.0.1`. All mean the tenant's own address.
    pub host_ip: String,
    /// First and last of the ports to choose from; `(0, 0)` = any.
    pub host_ports: (u16, u16),
}

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
    reserved: &[u16],
) -> Result<Vec<PublishedPort>> {
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
    Ok(ports)
}

fn add_exposed(ports: &mut Vec<PublishedPort>, exposed: &[String]) -> Result<()> {
    for key in exposed {
        let (container_port, protocol) = parse(key)?;
        if !ports.iter().any(|p| (p.container_port, p.protocol) == (container_port, protocol)) {
            ports.push(PublishedPort { container_port, protocol, host_ip: String::new(), host_ports: (0, 0) });
        }
    }
    Ok(())
}

fn resolve(container_port: u16, protocol: Protocol, given: &PortBinding, reserved: &[u16]) -> Result<PublishedPort> {
    let PortBinding { host_ip, host_port } = given;
    let host_ip = host_ip.clone().unwrap_or_default();
    if !matches!(host_ip.as_str(), "" | "0.0.0.0" | "::" | "127.0.0.1") {
        return Err(forbidden("HostConfig.PortBindings.HostIp", host_ip, "N11"));
    }
    let host_ports = host_range(host_port.as_deref().unwrap_or_default())?;
    if let Some(port) = reserved.iter().find(|p| (host_ports.0..=host_ports.1).contains(p)) {
        return Err(forbidden_because("HostConfig.PortBindings.HostPort", port, "the port is reserved", "N11"));
    }
    Ok(PublishedPort { container_port, protocol, host_ip, host_ports })
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

    fn bind(key: &str, ip: &str, port: &str) -> Result<Vec<PublishedPort>> {
        let binding = PortBinding { host_ip: Some(ip.to_owned()), host_port: Some(port.to_owned()) };
        published(&HashMap::from([(key.to_owned(), Some(vec![binding]))]), &["53/udp".to_owned()], true, &[22])
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
