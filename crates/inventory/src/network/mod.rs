//! Tenants' networks: the default one, `bridge`, that each tenant has from the start, and those that it makes itself.
//!
//! A container's endpoint exists from create (or connect) to remove (or disconnect), whether it runs or not; so does its
//! address. `generation` counts up with whatever hosts must hear of.

mod connect;
mod create;
mod ipv6;
mod remove;
mod state;

pub use state::{NetworkState, NetworkVersion, PeerRecord, Sharing};

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use chrono::{DateTime, Utc};
use domain::{Error, Event, EventType, Kind, NetworkId, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sqlx::types::Json;

use crate::{TenantView, failure};

/// Prefix length of a default network: 4094 addresses.
const DEFAULT_PREFIX: u8 = 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub id: NetworkId,
    pub name: String,
    pub vni: u32,
    pub subnet: Ipv4Net,
    pub gateway: Ipv4Addr,
    pub internal: bool,
    pub ip_range: Option<Ipv4Net>,
    /// Addresses that no container gets.
    pub auxiliary: BTreeMap<String, Ipv4Addr>,
    pub ipv6: Option<NetworkIpv6>,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
    /// Endpoints, of running containers and others.
    pub endpoints: i64,
    pub created_at: DateTime<Utc>,
}

/// The IPv6 side of a network that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkIpv6 {
    pub subnet: Ipv6Net,
    pub gateway: Ipv6Addr,
    pub range: Option<Ipv6Net>,
    pub auxiliary: BTreeMap<String, Ipv6Addr>,
}

/// A running container in a network, as `network inspect` shows it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Member {
    pub network_id: String,
    pub container_id: String,
    pub name: String,
    pub endpoint_id: String,
    pub mac: String,
    /// With the prefix length of the subnet.
    pub address: String,
    /// Likewise; empty in an IPv4 network.
    pub address6: String,
}

#[derive(sqlx::FromRow)]
struct NetworkRow {
    id: String,
    name: String,
    vni: i32,
    subnet: IpNet,
    gateway: IpNet,
    internal: bool,
    ip_range: Option<IpNet>,
    auxiliary: Json<BTreeMap<String, Ipv4Addr>>,
    subnet6: Option<IpNet>,
    gateway6: Option<IpNet>,
    ip_range6: Option<IpNet>,
    auxiliary6: Json<BTreeMap<String, Ipv6Addr>>,
    labels: Json<BTreeMap<String, String>>,
    options: Json<BTreeMap<String, String>>,
    endpoints: i64,
    created_at: DateTime<Utc>,
}

impl TryFrom<NetworkRow> for Network {
    type Error = Error;
    fn try_from(row: NetworkRow) -> Result<Self> {
        let (IpNet::V4(subnet), IpNet::V4(gateway)) = (row.subnet, row.gateway) else {
            return Err(Error::internal("a network's subnet is not IPv4"));
        };
        let ipv6 = match (row.subnet6, row.gateway6) {
            (Some(IpNet::V6(subnet)), Some(IpNet::V6(gateway))) => {
                let range = row.ip_range6.and_then(v6);
                Some(NetworkIpv6 { subnet, gateway: gateway.addr(), range, auxiliary: row.auxiliary6.0 })
            }
            (None, None) => None,
            _ => return Err(Error::internal("a network's second subnet is not IPv6")),
        };
        Ok(Self {
            id: row.id.parse()?,
            name: row.name,
            vni: row.vni.unsigned_abs(),
            subnet,
            gateway: gateway.addr(),
            internal: row.internal,
            ip_range: row.ip_range.and_then(v4),
            auxiliary: row.auxiliary.0,
            ipv6,
            endpoints: row.endpoints,
            labels: row.labels.0,
            options: row.options.0,
            created_at: row.created_at,
        })
    }
}

pub(crate) fn v4(net: IpNet) -> Option<Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    }
}

pub(crate) fn v6(net: IpNet) -> Option<Ipv6Net> {
    match net {
        IpNet::V6(net) => Some(net),
        IpNet::V4(_) => None,
    }
}

const ALL: &str = "SELECT id, name, vni, subnet, gateway, internal, ip_range, auxiliary, labels, options, created_at,
        subnet6, gateway6, ip_range6, auxiliary6,
        (SELECT count(*) FROM endpoints e WHERE e.tenant_id = n.tenant_id AND e.network_id = n.id) AS endpoints
    FROM networks n WHERE tenant_id = $1 ORDER BY name";
const MEMBERS: &str = "SELECT e.network_id, c.id AS container_id, c.name, e.endpoint_id, e.mac,
        host(e.address) || '/' || masklen(n.subnet) AS address,
        coalesce(host(e.address6) || '/' || masklen(n.subnet6), '') AS address6
    FROM endpoints e JOIN networks n ON n.tenant_id = e.tenant_id AND n.id = e.network_id
    JOIN containers c ON c.tenant_id = e.tenant_id AND c.id = e.container_id
    WHERE e.tenant_id = $1 AND e.network_id = $2 AND c.status IN ('running', 'paused') ORDER BY c.name";

impl TenantView {
    /// By name.
    pub async fn networks(&self) -> Result<Vec<Network>> {
        let rows: Vec<NetworkRow> =
            failure::retrying("list networks", || sqlx::query_as(ALL).bind(self.id.0).fetch_all(&self.pool)).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// The running containers of a network, by name.
    pub async fn members(&self, network: &NetworkId) -> Result<Vec<Member>> {
        let query = || sqlx::query_as(MEMBERS).bind(self.id.0).bind(network.as_str()).fetch_all(&self.pool);
        failure::retrying("list a network's containers", query).await
    }

    /// Full id, exact name (`default` is `bridge`), or unique prefix of an id.
    pub async fn network(&self, reference: &str) -> Result<Network> {
        // A tenant has few networks: choosing among them here is the same round trip.
        let all = self.networks().await?;
        let name = canonical(reference);
        let exact = all.iter().find(|n| n.id.as_str() == name).or_else(|| all.iter().find(|n| n.name == name));
        if let Some(found) = exact {
            return Ok(found.clone());
        }
        let mut hits = all.into_iter().filter(|n| !name.is_empty() && n.id.as_str().starts_with(name));
        match (hits.next(), hits.count()) {
            (Some(found), 0) => Ok(found),
            (Some(_), more) => Err(Error::invalid(format!(
                "network {reference} is ambiguous ({} matches found based on ID prefix)",
                more + 1
            ))),
            (None, _) => Err(Error::not_found(Kind::Network, reference)),
        }
    }
}

/// As dockerd tells it; `container` comes on top where there is one.
pub(crate) fn event_of(action: &str, id: &NetworkId, name: &str) -> Event {
    Event::new(EventType::Network, action, id.as_str()).with("name", name).with("type", "bridge")
}

/// Docker's `default` means the tenant's own default network.
pub(crate) fn canonical(reference: &str) -> &str {
    if reference == "default" { "bridge" } else { reference }
}

/// The `ordinal`th block of the pool, from the start again when they are used up: tenants' subnets may overlap.
pub(crate) fn default_subnet(pool: Ipv4Net, ordinal: u32) -> Ipv4Net {
    let prefix = pool.prefix_len().max(DEFAULT_PREFIX);
    let blocks = 1u32 << (prefix - pool.prefix_len());
    let first = u32::from(pool.network()) + (ordinal % blocks) * (1u32 << (32 - prefix));
    Ipv4Net::new(Ipv4Addr::from(first), prefix).unwrap_or(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_subnets_are_blocks_of_the_pool_and_wrap_around() {
        let pool: Ipv4Net = "172.16.0.0/12".parse().unwrap();
        assert_eq!(default_subnet(pool, 0).to_string(), "172.16.0.0/20");
        assert_eq!(default_subnet(pool, 17).to_string(), "172.17.16.0/20");
        assert_eq!(default_subnet(pool, 256).to_string(), "172.16.0.0/20");
        assert_eq!(default_subnet("10.9.8.0/24".parse().unwrap(), 7).to_string(), "10.9.8.0/24");
    }
}
