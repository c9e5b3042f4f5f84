//! A reservation: capacity of one host, the tenant's quota, the name, the addresses and the row, in one statement.
//!
//! It is one round trip and its own transaction (`reserve.sql`). Placement under affinities needs more: [`Placing`] holds
//! the tenant's placement lock over the reading of the neighbours and the reservation, so that two creates which repel
//! each other never see the same picture.
//!
//! A reservation is idempotent by the container's id: asked again (the answer was lost), it answers what it did.

mod placing;
mod refuse;
mod volumes;

use chrono::{DateTime, Utc};
use domain::{
    Endpoint, Error, Host, HostFacts, HostId, HostState, NetworkId, NewContainer, PlacedVolume, Result,
    spec::NetworkMode,
};
use serde::Deserialize;
use sqlx::{PgConnection, types::Json};

use crate::{Inventory, failure, network};

pub use placing::{Neighbour, Placing, Presence};
pub(crate) use refuse::name_taken;

/// What a container got. Its host may be another than the one asked for, where it had been placed before.
#[derive(Debug, Clone)]
pub struct Reserved {
    pub endpoints: Vec<Endpoint>,
    pub volumes: Vec<PlacedVolume>,
    pub host: Host,
    /// First host uid of the tenant's range.
    pub uid_base: u32,
}

#[derive(Debug)]
pub enum ReserveError {
    /// The host has not the room: try the next.
    HostFull,
    /// It is cordoned, silent or unknown: try the next.
    HostGone,
    /// A volume is on another host: only that one can take the container.
    Pinned { volume: String, host: HostId },
    /// No other host will help.
    Failed(Error),
}

impl From<Error> for ReserveError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Tries that pick a new address each, before one that holds the tenant's row and cannot collide.
const FREE_TRIES: u32 = 4;
const RESERVE: &str = include_str!("reserve.sql");
const LOCK_TENANT: &str = "SELECT 1 FROM tenants WHERE id = $1 FOR NO KEY UPDATE";

/// Mirrors the statement's last SELECT.
#[derive(Debug, sqlx::FromRow)]
struct Verdict {
    ok: bool,
    ordinal: i32,
    host_ok: bool,
    memory_ok: bool,
    cpu_ok: bool,
    count_ok: bool,
    memory_quota_bytes: Option<i64>,
    cpu_quota_millis: Option<i64>,
    container_quota: Option<i64>,
    memory_used_bytes: i64,
    cpu_used_millis: i64,
    containers_used: i64,
    holder: Option<String>,
    lost_network: Option<String>,
    outside: Option<String>,
    taken: bool,
    full_network: Option<String>,
    full_network6: Option<String>,
    host: Option<Json<HostJson>>,
    endpoints: Option<Json<Vec<Endpoint>>>,
}

#[derive(Debug, Deserialize)]
struct HostJson {
    id: HostId,
    name: String,
    state: HostState,
    facts: HostFacts,
    cpu_millis_free: i64,
    memory_bytes_free: i64,
    containers: i64,
    seen_at: DateTime<Utc>,
}

/// The arguments that take work to make, made once for all tries.
struct Prepared<'a> {
    new: &'a NewContainer,
    spec: String,
    labels: String,
    references: Vec<&'a str>,
    addresses: Vec<Option<String>>,
    macs: Vec<Option<&'a str>>,
    aliases: Vec<String>,
    endpoint_ids: Vec<String>,
    addresses6: Vec<Option<String>>,
}

impl Inventory {
    /// All or nothing. Safe to call again with the same container.
    pub async fn reserve(&self, new: &NewContainer, host: HostId) -> Result<Reserved, ReserveError> {
        let prepared = Prepared::of(new)?;
        if !new.volumes.is_empty() {
            return self.reserve_with_volumes(&prepared, host).await;
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let outcome = if tries <= FREE_TRIES {
                self.reserve_at_once(&prepared, host).await
            } else {
                self.reserve_in_line(&prepared, host).await
            };
            match outcome {
                Ok(verdict) => return prepared.judge(verdict, self).await,
                Err(cause) if tries <= FREE_TRIES && prepared.may_retry(&cause) => continue,
                Err(cause) => return Err(prepared.failed(cause, self).await),
            }
        }
    }

    async fn reserve_at_once(&self, prepared: &Prepared<'_>, host: HostId) -> sqlx::Result<Option<Verdict>> {
        prepared.run(&mut *self.pool.acquire().await?, host).await
    }

    /// With the tenant's row locked before the statement takes its snapshot, nobody else can take an address meanwhile.
    async fn reserve_in_line(&self, prepared: &Prepared<'_>, host: HostId) -> sqlx::Result<Option<Verdict>> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(LOCK_TENANT).bind(prepared.new.tenant.0).execute(&mut *tx).await?;
        let verdict = prepared.run(&mut tx, host).await?;
        tx.commit().await?;
        Ok(verdict)
    }
}

impl<'a> Prepared<'a> {
    fn of(new: &'a NewContainer) -> Result<Self> {
        let wishes = match &new.spec.network {
            NetworkMode::None => &[][..],
            NetworkMode::Tenant(wishes) => wishes,
        };
        let json = |e| Error::because("write a container's row", e);
        let mut prepared = Self {
            new,
            spec: serde_json::to_string(&new.spec).map_err(json)?,
            labels: serde_json::to_string(&new.labels).map_err(json)?,
            references: Vec::new(),
            addresses: Vec::new(),
            macs: Vec::new(),
            aliases: Vec::new(),
            endpoint_ids: Vec::new(),
            addresses6: Vec::new(),
        };
        for wish in wishes {
            prepared.references.push(network::canonical(&wish.network));
            prepared.addresses.push(wish.ipv4.map(|a| a.to_string()));
            prepared.addresses6.push(wish.ipv6.map(|a| a.to_string()));
            prepared.macs.push(wish.mac.as_deref());
            prepared.aliases.push(serde_json::to_string(&wish.aliases).map_err(json)?);
            // Docker's endpoint ids have the form of its network ids.
            prepared.endpoint_ids.push(NetworkId::random().into());
        }
        Ok(prepared)
    }

    async fn run(&self, connection: &mut PgConnection, host: HostId) -> sqlx::Result<Option<Verdict>> {
        let new = self.new;
        sqlx::query_as(RESERVE)
            .bind(new.tenant.0)
            .bind(host.0)
            .bind(new.id.as_str())
            .bind(new.name.as_str())
            .bind(new.spec.image.image_id.as_str())
            .bind(&new.image_reference)
            .bind(&new.command)
            .bind(&new.network_mode)
            .bind(&self.spec)
            .bind(new.docker_config.get())
            .bind(new.docker_host_config.get())
            .bind(&self.labels)
            .bind(new.spec.resources.cpu_millis)
            .bind(new.spec.resources.memory_bytes)
            .bind(new.created_at)
            .bind(&self.references)
            .bind(&self.addresses)
            .bind(&self.macs)
            .bind(&self.aliases)
            .bind(&self.endpoint_ids)
            .bind(&self.addresses6)
            .fetch_optional(connection)
            .await
    }

    /// An address that another create took a moment before, or a connection that broke: idempotent, so once more.
    fn may_retry(&self, cause: &sqlx::Error) -> bool {
        took_an_address(cause) || failure::may_pass(cause)
    }
}

/// The statement lost a race for an address, of either family.
fn took_an_address(cause: &sqlx::Error) -> bool {
    matches!(failure::violated(cause), Some("endpoints_address_unique" | "endpoints_address6_unique"))
}
