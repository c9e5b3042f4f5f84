//! A network as Docker's JSON has it.
//!
//! `host` and `none` are no networks here, but every client expects to see them: they are made up from the tenant's id, so
//! that each tenant has its own.

use std::{collections::BTreeMap, net::IpAddr};

use chrono::{DateTime, Utc};
use docker_api::time::rfc3339nano;
use domain::{Digest, Error, Kind, Result, TenantId};
use inventory::{Member, Network, NetworkIpv6, TenantView};
use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) id: String,
    created: String,
    pub(super) scope: &'static str,
    pub(super) driver: &'static str,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_from: BTreeMap<&'static str, &'static str>,
    config_only: bool,
    containers: BTreeMap<String, ShownMember>,
    options: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
    #[serde(skip)]
    pub(super) predefined: bool,
    #[serde(skip)]
    pub(super) endpoints: i64,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ipam {
    driver: &'static str,
    options: Option<BTreeMap<String, String>>,
    config: Option<Vec<Subnet>>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Subnet {
    subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    ip_range: Option<String>,
    gateway: IpAddr,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    auxiliary_addresses: BTreeMap<String, IpAddr>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownMember {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
}

impl Subnet {
    fn of_ipv6(side: NetworkIpv6) -> Self {
        Self {
            subnet: side.subnet.to_string(),
            ip_range: side.range.map(|r| r.to_string()),
            gateway: side.gateway.into(),
            auxiliary_addresses: side.auxiliary.into_iter().map(|(name, a)| (name, a.into())).collect(),
        }
    }
}

impl Shown {
    pub(super) fn of(network: Network) -> Self {
        let subnet = Subnet {
            subnet: network.subnet.to_string(),
            ip_range: network.ip_range.map(|r| r.to_string()),
            gateway: network.gateway.into(),
            auxiliary_addresses: network.auxiliary.into_iter().map(|(name, a)| (name, a.into())).collect(),
        };
        let enable_ipv6 = network.ipv6.is_some();
        let config = [subnet].into_iter().chain(network.ipv6.map(Subnet::of_ipv6)).collect();
        Self {
            predefined: network.name == "bridge",
            endpoints: network.endpoints,
            internal: network.internal,
            options: network.options,
            labels: network.labels,
            ipam: Ipam { driver: "default", options: Some(BTreeMap::new()), config: Some(config) },
            enable_ipv6,
            ..Self::bare(network.name, network.id.into(), "bridge", network.created_at)
        }
    }

    fn bare(name: String, id: String, driver: &'static str, created_at: DateTime<Utc>) -> Self {
        Self {
            name,
            id,
            created: rfc3339nano(created_at),
            scope: "local",
            driver,
            enable_ipv4: true,
            enable_ipv6: false,
            ipam: Ipam { driver: "default", options: None, config: None },
            internal: false,
            attachable: false,
            ingress: false,
            config_from: [("Network", "")].into(),
            config_only: false,
            containers: BTreeMap::new(),
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            predefined: true,
            endpoints: 0,
        }
    }

    pub(super) fn with(mut self, members: Vec<Member>) -> Self {
        let shown = members.into_iter().map(|m| {
            let member = ShownMember {
                name: m.name,
                endpoint_id: m.endpoint_id,
                mac_address: m.mac,
                ipv4_address: m.address,
                ipv6_address: m.address6,
            };
            (m.container_id, member)
        });
        self.containers = shown.collect();
        self
    }
}

/// All of the tenant's, and `host` and `none`.
pub(super) async fn all(rows: &TenantView) -> Result<Vec<Shown>> {
    let own = rows.networks().await?;
    let since = own.iter().map(|n| n.created_at).min().unwrap_or_default();
    let predefined = [("host", "host"), ("none", "null")]
        .map(|(name, driver)| Shown::bare(name.to_owned(), predefined_id(rows.id(), name), driver, since));
    Ok(own.into_iter().map(Shown::of).chain(predefined).collect())
}

/// A network of the tenant, or the reason why a predefined one will not do.
///
/// # Errors
/// `NotFound`; `Forbidden` with `predefined` for `host` and `none`.
pub(super) async fn find(rows: &TenantView, reference: &str, predefined: impl Fn(&str) -> String) -> Result<Network> {
    match rows.network(reference).await {
        Err(Error::NotFound { kind: Kind::Network, .. }) => match made_up(rows.id(), reference) {
            Some(name) => Err(Error::forbidden(predefined(name))),
            None => Err(Error::not_found(Kind::Network, reference)),
        },
        found => found,
    }
}

fn made_up(tenant: TenantId, reference: &str) -> Option<&'static str> {
    ["host", "none"].into_iter().find(|name| reference == *name || reference == predefined_id(tenant, name))
}

fn predefined_id(tenant: TenantId, name: &str) -> String {
    Digest::of(format!("{tenant}/{name}").as_bytes()).hex().to_owned()
}
