//! What hosts must know of a network: who is in it, and where.

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::{ContainerId, HostId, Result};
use sqlx::types::Json;

use crate::{Inventory, TenantView, failure};

/// How far a host is with a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkVersion {
    pub vni: u32,
    pub generation: u64,
}

/// A container in a network, for the hosts that it is not on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct PeerRecord {
    pub container: ContainerId,
    pub host: HostId,
    pub address: Ipv4Addr,
    pub ipv6: Option<Ipv6Addr>,
    pub mac: String,
    /// Underlay address of its host.
    pub vtep: Ipv4Addr,
    /// Container name and aliases; the short id is known anyway.
    pub names: Vec<String>,
    /// Only then do its names resolve.
    pub running: bool,
}

/// Who must hear of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// Underlay address of the container's own host.
    pub vtep: String,
    /// And where their agents answer.
    pub hosts: Vec<(HostId, String)>,
}

/// A network with everybody in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkState {
    pub vni: u32,
    pub name: String,
    pub generation: u64,
    pub peers: Vec<PeerRecord>,
}

#[derive(sqlx::FromRow)]
struct StateRow {
    vni: i32,
    name: String,
    generation: i64,
    peers: Option<Json<Vec<PeerRecord>>>,
}

macro_rules! state {
    () => {
        "SELECT n.vni, n.name, n.generation, (SELECT json_agg(json_build_object(
            'container', c.id, 'host', c.host_id, 'address', host(e.address), 'ipv6', host(e.address6),
            'mac', e.mac,
            'vtep', h.facts->>'underlay_address', 'names', array_prepend(c.name, e.aliases),
            'running', c.status IN ('running', 'paused')))
         FROM endpoints e JOIN containers c ON c.tenant_id = e.tenant_id AND c.id = e.container_id
         JOIN hosts h ON h.id = c.host_id
         WHERE e.tenant_id = n.tenant_id AND e.network_id = n.id) AS peers
        FROM networks n "
    };
}

const NEWER: &str = concat!(
    state!(),
    "JOIN unnest($1::int[], $2::bigint[]) AS known (vni, generation) ON known.vni = n.vni
     WHERE n.generation > known.generation AND EXISTS (
        SELECT FROM endpoints e JOIN containers c ON c.tenant_id = e.tenant_id AND c.id = e.container_id
        WHERE e.tenant_id = n.tenant_id AND e.network_id = n.id AND c.host_id = $3)"
);
const ELSEWHERE: &str = "SELECT DISTINCT h.id, h.facts->>'endpoint', me.facts->>'underlay_address'
    FROM endpoints own JOIN endpoints e ON e.tenant_id = own.tenant_id AND e.network_id = own.network_id
    JOIN containers c ON c.tenant_id = e.tenant_id AND c.id = e.container_id
    JOIN hosts me ON me.id = $3
    JOIN hosts h ON h.id = c.host_id AND h.id <> me.id AND h.seen_at > now() - interval '15 seconds'
    WHERE own.tenant_id = $1 AND own.container_id = $2";

impl Inventory {
    /// Those of the networks that have changed since the host heard of them, and that it has containers in: no host learns of
    /// another's networks.
    pub async fn newer_networks(&self, host: HostId, known: &[NetworkVersion]) -> Result<Vec<NetworkState>> {
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let vnis: Vec<i32> = known.iter().map(|k| k.vni.cast_signed()).collect();
        let generations: Vec<i64> = known.iter().map(|k| k.generation.cast_signed()).collect();
        let query = || sqlx::query_as(NEWER).bind(&vnis).bind(&generations).bind(host.0).fetch_all(&self.pool);
        let rows: Vec<StateRow> = failure::retrying("read networks", query).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

impl TenantView {
    /// The reachable hosts, other than its `host`, that have containers in the networks of `container`.
    pub async fn hosts_that_share(&self, container: &ContainerId, host: HostId) -> Result<Sharing> {
        let query =
            || sqlx::query_as(ELSEWHERE).bind(self.id.0).bind(container.as_str()).bind(host.0).fetch_all(&self.pool);
        let rows: Vec<(uuid::Uuid, String, String)> = failure::retrying("look for a network's hosts", query).await?;
        let vtep = rows.first().map(|(_, _, vtep)| vtep.clone()).unwrap_or_default();
        Ok(Sharing { vtep, hosts: rows.into_iter().map(|(id, endpoint, _)| (HostId(id), endpoint)).collect() })
    }
}

impl From<StateRow> for NetworkState {
    fn from(row: StateRow) -> Self {
        Self {
            vni: row.vni.unsigned_abs(),
            name: row.name,
            generation: row.generation.unsigned_abs(),
            peers: row.peers.map(|p| p.0).unwrap_or_default(),
        }
    }
}
