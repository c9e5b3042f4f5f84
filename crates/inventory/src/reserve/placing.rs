//! Placement under affinities: a transaction that holds the tenant's placement lock.
//!
//! The lock is an advisory one that only placements *with* affinities take; other creates of the tenant go on meanwhile,
//! and stand before or after this one in the order of commits, which is all that an affinity can ask for.

use std::collections::BTreeMap;

use domain::{ContainerId, ContainerName, Digest, HostId, NewContainer, Result, TenantId};
use sqlx::{Connection, PgTransaction, types::Json};
use uuid::Uuid;

use super::{Prepared, ReserveError, Reserved, took_an_address};
use crate::{Inventory, failure};

/// A tenant on one host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    pub containers: i64,
    /// One of them is made from the image that was asked about.
    pub has_image: bool,
}

/// What an affinity can match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    pub id: ContainerId,
    pub name: ContainerName,
    pub host: HostId,
    pub image_id: Digest,
    pub image_reference: String,
    pub labels: BTreeMap<String, String>,
}

#[derive(sqlx::FromRow)]
struct NeighbourRow {
    id: String,
    name: String,
    host_id: Uuid,
    image_id: String,
    image_reference: String,
    labels: Json<BTreeMap<String, String>>,
}

/// The lock and the reservation under it. Dropped without a reservation, it leaves nothing.
pub struct Placing {
    inventory: Inventory,
    tenant: TenantId,
    tx: PgTransaction<'static>,
}

/// The first key is ours alone (`whrf`), the second folds the tenant's id; tenants that share one only wait for each other.
const LOCK: &str = "SELECT pg_advisory_xact_lock(2003333734, hashtext($1::uuid::text))";
const NEIGHBOURS: &str = "SELECT id, name, host_id, image_id, image_reference, labels
    FROM containers WHERE tenant_id = $1 ORDER BY created_at, id";
const SPREAD: &str =
    "SELECT host_id, count(*), bool_or(image_id = $2) FROM containers WHERE tenant_id = $1 GROUP BY host_id";

impl Inventory {
    /// How the tenant's containers are spread over hosts, and which of these have one of the image.
    pub async fn spread(&self, tenant: TenantId, image: &Digest) -> Result<BTreeMap<HostId, Presence>> {
        let query = || sqlx::query_as(SPREAD).bind(tenant.0).bind(image.as_str()).fetch_all(&self.pool);
        let rows: Vec<(Uuid, i64, bool)> = failure::retrying("count a tenant's containers", query).await?;
        Ok(rows
            .into_iter()
            .map(|(host, containers, has_image)| (HostId(host), Presence { containers, has_image }))
            .collect())
    }

    /// Waits until no other placement with affinities of this tenant is under way.
    pub async fn place_alone(&self, tenant: TenantId) -> Result<Placing> {
        let context = "lock a tenant's placements";
        let mut tx = self.pool.begin().await.map_err(|e| failure::translate(context, e))?;
        sqlx::query(LOCK).bind(tenant.0).execute(&mut *tx).await.map_err(|e| failure::translate(context, e))?;
        Ok(Placing { inventory: self.clone(), tenant, tx })
    }
}

impl Placing {
    /// The tenant's containers, as of now: nobody else with affinities can add one until this is over.
    pub async fn neighbours(&mut self) -> Result<Vec<Neighbour>> {
        let rows: Vec<NeighbourRow> = sqlx::query_as(NEIGHBOURS)
            .bind(self.tenant.0)
            .fetch_all(&mut *self.tx)
            .await
            .map_err(|e| failure::translate("list a tenant's containers", e))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// As [`Inventory::reserve`]; after `HostFull` or `HostGone` another host may be tried. [`Placing::commit`] makes it so.
    pub async fn reserve(&mut self, new: &NewContainer, host: HostId) -> Result<Reserved, ReserveError> {
        let prepared = Prepared::of(new)?;
        let mut tries = 0;
        loop {
            tries += 1;
            // A savepoint, because a violated constraint would end the transaction and with it the lock.
            let context = "reserve";
            let mut inner = self.tx.begin().await.map_err(|e| failure::translate(context, e))?;
            match prepared.attempt(&mut inner, host).await {
                Ok(attempt) => {
                    let ended = if attempt.is_made() { inner.commit().await } else { inner.rollback().await };
                    ended.map_err(|e| failure::translate(context, e))?;
                    return prepared.settle(attempt, &self.inventory).await;
                }
                Err(cause) => {
                    inner.rollback().await.ok();
                    if tries > 8 || !took_an_address(&cause) {
                        return Err(prepared.failed(cause, &self.inventory).await);
                    }
                }
            }
        }
    }

    pub async fn commit(self) -> Result<()> {
        self.tx.commit().await.map_err(|e| failure::translate("commit a placement", e))
    }
}

impl TryFrom<NeighbourRow> for Neighbour {
    type Error = domain::Error;
    fn try_from(row: NeighbourRow) -> Result<Self> {
        Ok(Self {
            id: row.id.parse()?,
            name: row.name.parse()?,
            host: HostId(row.host_id),
            image_id: row.image_id.parse()?,
            image_reference: row.image_reference,
            labels: row.labels.0,
        })
    }
}
