//! A network that a tenant asks for, as policy accepted it.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewNetwork {
    pub name: String,
    /// Out of the operator's pool when absent.
    pub subnet: Option<Ipv4Net>,
    /// The subnet's first address when absent.
    pub gateway: Option<Ipv4Addr>,
    /// Where addresses come from; inside the subnet.
    pub ip_range: Option<Ipv4Net>,
    /// Addresses that no container gets, by the tenant's names for them.
    pub auxiliary: BTreeMap<String, Ipv4Addr>,
    /// None: an IPv4 network.
    pub ipv6: Option<NewNetworkIpv6>,
    /// No egress.
    pub internal: bool,
    pub labels: BTreeMap<String, String>,
    /// Docker's driver options, as accepted.
    pub options: BTreeMap<String, String>,
}

/// The IPv6 side of a network that a tenant asks for; the fields are as those of IPv4.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewNetworkIpv6 {
    pub subnet: Option<Ipv6Net>,
    pub gateway: Option<Ipv6Addr>,
    pub range: Option<Ipv6Net>,
    pub auxiliary: BTreeMap<String, Ipv6Addr>,
}
