//! What edges must know: everything that is published at an address.

use domain::{AddressState, PortRecord, Result, TenantId};
use sqlx::{PgConnection, types::Json};

use crate::{Inventory, TenantView, failure};

/// How far an edge is with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressVersion {
    pub address: String,
    pub generation: u64,
}

#[derive(sqlx::FromRow)]
struct StateRow {
    address: String,
    ports_generation: i64,
    ports: Option<Json<Vec<PortRecord>>>,
}

macro_rules! state {
    () => {
        "SELECT host(t.address) AS address, t.ports_generation, (SELECT json_agg(json_build_object(
            'protocol', p.protocol, 'port', p.port, 'target', (h.facts->>'underlay_address') || ':' || p.host_port,
            'proxy_protocol', p.proxy_protocol) ORDER BY p.protocol, p.port)
         FROM published_ports p JOIN hosts h ON h.id = p.host_id WHERE p.tenant_id = t.id) AS ports
        FROM tenants t "
    };
}

const OF_TENANT: &str = concat!(state!(), "WHERE t.id = $1");
const NEWER: &str = concat!(
    state!(),
    "LEFT JOIN unnest($1::inet[], $2::bigint[]) AS known (address, generation) ON known.address = t.address
     WHERE t.address IS NOT NULL AND known.generation IS DISTINCT FROM t.ports_generation"
);
const GONE: &str = "SELECT host(k.address) FROM unnest($1::inet[]) AS k (address)
    WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.address = k.address)";
const SEEN: &str = "INSERT INTO edges (endpoint) VALUES ($1) ON CONFLICT (endpoint) DO UPDATE SET seen_at = now()";
const EDGES: &str = "SELECT endpoint FROM edges WHERE seen_at > now() - interval '15 seconds' ORDER BY endpoint";

impl Inventory {
    /// For the edge that answers at `endpoint`: the addresses that differ from what it knows, and those that are nobody's any
    /// more. Notes that the edge is there.
    pub async fn newer_ports(
        &self,
        endpoint: &str,
        known: &[AddressVersion],
    ) -> Result<(Vec<AddressState>, Vec<String>)> {
        failure::retrying("note an edge", || sqlx::query(SEEN).bind(endpoint).execute(&self.pool)).await?;
        // What is no address is none of ours; the edge says so itself by never having heard of it from us.
        let known = known.iter().filter_map(|k| Some((k.address.parse::<std::net::IpAddr>().ok()?, k.generation)));
        let (addresses, generations): (Vec<ipnet::IpNet>, Vec<i64>) =
            known.map(|(address, generation)| (ipnet::IpNet::from(address), generation.cast_signed())).unzip();
        let newer = || sqlx::query_as(NEWER).bind(&addresses).bind(&generations).fetch_all(&self.pool);
        let rows: Vec<StateRow> = failure::retrying("read published ports", newer).await?;
        let gone = || sqlx::query_scalar(GONE).bind(&addresses).fetch_all(&self.pool);
        let gone = failure::retrying("look for addresses that are gone", gone).await?;
        Ok((rows.into_iter().map(Into::into).collect(), gone))
    }

    /// Where the edges answer that have been heard of within 15 s.
    pub async fn edges(&self) -> Result<Vec<String>> {
        failure::retrying("list edges", || sqlx::query_scalar(EDGES).fetch_all(&self.pool)).await
    }
}

impl TenantView {
    /// Everything that is published at the tenant's address.
    pub async fn published_ports(&self) -> Result<AddressState> {
        let query = || sqlx::query_as(OF_TENANT).bind(self.id.0).fetch_one(&self.pool);
        let row: StateRow = failure::retrying("read published ports", query).await?;
        Ok(row.into())
    }
}

pub(super) async fn of_tenant(db: &mut PgConnection, tenant: TenantId) -> sqlx::Result<AddressState> {
    let row: StateRow = sqlx::query_as(OF_TENANT).bind(tenant.0).fetch_one(db).await?;
    Ok(row.into())
}

impl From<StateRow> for AddressState {
    fn from(row: StateRow) -> Self {
        Self {
            address: row.address,
            generation: row.ports_generation.unsigned_abs(),
            ports: row.ports.map(|p| p.0).unwrap_or_default(),
        }
    }
}
