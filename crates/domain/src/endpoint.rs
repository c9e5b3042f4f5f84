//! A container's place in a network.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::NetworkId;

/// Everything that a host needs to plug a container into a network. Kept from create to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    pub network: NetworkId,
    pub network_name: String,
    /// VXLAN network identifier, unique in the data centre.
    pub vni: u32,
    pub subnet: Ipv4Net,
    /// The router's address, the same on every host.
    pub gateway: Ipv4Addr,
    pub address: Ipv4Addr,
    /// Of networks that have IPv6. Left out where there is none, so that a peer which knows no IPv6 understands the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<EndpointIpv6>,
    /// `02:42:` and the address in hexadecimal, where the tenant chose none.
    pub mac: String,
    /// Inside the container: `eth0` ...
    pub interface: String,
    pub mtu: u16,
    /// No egress.
    pub internal: bool,
    /// Names besides the container's own that DNS answers in this network.
    pub aliases: Vec<String>,
    /// The endpoint's own id, as Docker's `EndpointID`.
    pub endpoint_id: String,
}

/// The IPv6 side of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointIpv6 {
    pub subnet: Ipv6Net,
    /// The router's address, the same on every host.
    pub gateway: Ipv6Addr,
    pub address: Ipv6Addr,
}

impl Endpoint {
    /// Docker's rule for a derived MAC address.
    pub fn derived_mac(address: Ipv4Addr) -> String {
        let [a, b, c, d] = address.octets();
        format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }
}
