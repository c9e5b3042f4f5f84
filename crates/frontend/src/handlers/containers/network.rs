//! A container's endpoints as Docker's JSON has them, in `ps` and `inspect`.
//!
//! An address is shown only while the container runs, as dockerd does; here it is reserved from create to remove.

use std::{
    fmt::Display,
    net::{Ipv4Addr, Ipv6Addr},
};

use domain::Endpoint;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// `Networks`: an object by network name.
pub(super) struct Networks<'a> {
    endpoints: &'a [Endpoint],
    /// What DNS answers for the container.
    names: Names<'a>,
    running: bool,
}

#[derive(Clone, Copy)]
struct Names<'a> {
    name: &'a str,
    short_id: &'a str,
}

impl<'a> Networks<'a> {
    pub(super) fn new(endpoints: &'a [Endpoint], name: &'a str, short_id: &'a str, running: bool) -> Self {
        Self { endpoints, names: Names { name, short_id }, running }
    }
}

impl Serialize for Networks<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // `--network none` is a network too, in Docker's eyes.
        if self.endpoints.is_empty() {
            let mut map = to.serialize_map(Some(1))?;
            map.serialize_entry("none", &Shown::default())?;
            return map.end();
        }
        let mut map = to.serialize_map(Some(self.endpoints.len()))?;
        for endpoint in self.endpoints {
            map.serialize_entry(&endpoint.network_name, &Shown::of(endpoint, self.names, self.running))?;
        }
        map.end()
    }
}

#[derive(Serialize, Default)]
struct Shown<'a> {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<()>,
    #[serde(rename = "Links")]
    links: Option<()>,
    #[serde(rename = "Aliases")]
    aliases: Option<&'a [String]>,
    #[serde(rename = "MacAddress")]
    mac_address: &'a str,
    #[serde(rename = "DriverOpts")]
    driver_opts: Option<()>,
    #[serde(rename = "GwPriority")]
    gw_priority: i32,
    #[serde(rename = "NetworkID")]
    network_id: &'a str,
    #[serde(rename = "EndpointID")]
    endpoint_id: &'a str,
    #[serde(rename = "Gateway", serialize_with = "address")]
    gateway: Option<Ipv4Addr>,
    #[serde(rename = "IPAddress", serialize_with = "address")]
    ip_address: Option<Ipv4Addr>,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway", serialize_with = "address")]
    ipv6_gateway: Option<Ipv6Addr>,
    #[serde(rename = "GlobalIPv6Address", serialize_with = "address")]
    global_ipv6_address: Option<Ipv6Addr>,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u8,
    #[serde(rename = "DNSNames")]
    dns_names: Option<Vec<&'a str>>,
}

fn address<A: Display, S: Serializer>(address: &Option<A>, to: S) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => to.collect_str(address),
        None => to.serialize_str(""),
    }
}

impl<'a> Shown<'a> {
    fn of(endpoint: &'a Endpoint, names: Names<'a>, running: bool) -> Self {
        let is_default = endpoint.network_name == "bridge";
        let named = Self {
            aliases: (!endpoint.aliases.is_empty()).then_some(endpoint.aliases.as_slice()),
            network_id: endpoint.network.as_str(),
            // Docker resolves names on user-defined networks only, and shows none on the default one.
            dns_names: (!is_default).then(|| {
                let aliases = endpoint.aliases.iter().map(String::as_str);
                [names.name].into_iter().chain(aliases).chain([names.short_id]).collect()
            }),
            ..Self::default()
        };
        if !running {
            return named;
        }
        Self {
            mac_address: &endpoint.mac,
            endpoint_id: &endpoint.endpoint_id,
            gateway: (!endpoint.internal).then_some(endpoint.gateway),
            ip_address: Some(endpoint.address),
            ip_prefix_len: endpoint.subnet.prefix_len(),
            ipv6_gateway: endpoint.ipv6.filter(|_| !endpoint.internal).map(|v6| v6.gateway),
            global_ipv6_address: endpoint.ipv6.map(|v6| v6.address),
            global_ipv6_prefix_len: endpoint.ipv6.map_or(0, |v6| v6.subnet.prefix_len()),
            ..named
        }
    }
}
