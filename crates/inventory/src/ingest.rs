//! What a host reports, stored in one transaction.
//!
//! Most of what a report holds is known already: one query picks what is new, and only that is written. A host can speak
//! only of containers that are placed on it. Whatever else it has is answered back as "forget".

use std::collections::BTreeSet;

use domain::{ContainerId, ExecObservation, HostId, Observation, Result, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Inventory, container, exec, failure};

/// One row for each observation: is it the host's, is it newer?
const JUDGE: &str = "SELECT o.place - 1 AS place, c.id IS NOT NULL AS known,
        coalesce(c.generation < o.generation OR o.removed, false) AS newer
    FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::bool[]) WITH ORDINALITY
        AS o (tenant_id, id, generation, removed, place)
    LEFT JOIN containers c ON c.tenant_id = o.tenant_id AND c.id = o.id AND c.host_id = $1";
/// In order, so that two ingests of several tenants never wait for each other in a circle.
const LOCK_TENANTS: &str = "SELECT id FROM tenants WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE";
const FOUND_AGAIN: &str = "UPDATE containers SET missing_since = NULL
    WHERE host_id = $1 AND missing_since IS NOT NULL AND id = ANY ($2)";
const MISSING: &str = "UPDATE containers SET missing_since = now()
    WHERE host_id = $1 AND missing_since IS NULL AND status <> 'dead' AND NOT id = ANY ($2)";
const EXECS_OF_HOST: &str = "SELECT o.place - 1
    FROM unnest($2::uuid[], $3::text[]) WITH ORDINALITY AS o (tenant_id, id, place)
    JOIN containers c ON c.tenant_id = o.tenant_id AND c.id = o.id AND c.host_id = $1";

/// What is left to do of a report.
struct Judged<'a> {
    newer: Vec<&'a Observation>,
    unknown: Vec<(TenantId, ContainerId)>,
    execs: Vec<&'a ExecObservation>,
}

impl Inventory {
    /// Stores what is newer. `complete`: the observations are all that the host has; what it lacks is marked for
    /// [`Inventory::unfinished`] and [`Inventory::lost`]. Answers what the host has and we have not (or have elsewhere).
    pub async fn ingest(
        &self,
        host: HostId,
        containers: &[Observation],
        execs: &[ExecObservation],
        complete: bool,
    ) -> Result<Vec<(TenantId, ContainerId)>> {
        let (unknown, news) =
            failure::retrying("store a report", || self.try_ingest(host, containers, execs, complete)).await?;
        if news {
            self.bell.ring();
        }
        Ok(unknown)
    }

    async fn try_ingest(
        &self,
        host: HostId,
        containers: &[Observation],
        execs: &[ExecObservation],
        complete: bool,
    ) -> sqlx::Result<(Vec<(TenantId, ContainerId)>, bool)> {
        let mut tx = self.pool.begin().await?;
        let judged = judge(&mut tx, host, containers, execs).await?;
        let news = !judged.newer.is_empty() || !judged.execs.is_empty();
        if news {
            store(&mut tx, &judged).await?;
        }
        if complete {
            mark_missing(&mut tx, host, containers).await?;
        }
        tx.commit().await?;
        Ok((judged.unknown, news))
    }
}

async fn judge<'a>(
    db: &mut PgConnection,
    host: HostId,
    containers: &'a [Observation],
    execs: &'a [ExecObservation],
) -> sqlx::Result<Judged<'a>> {
    let mut judged = Judged { newer: Vec::new(), unknown: Vec::new(), execs: Vec::new() };
    if !containers.is_empty() {
        let rows: Vec<(i64, bool, bool)> = sqlx::query_as(JUDGE)
            .bind(host.0)
            .bind(containers.iter().map(|o| o.tenant.0).collect::<Vec<_>>())
            .bind(containers.iter().map(|o| o.container.as_str()).collect::<Vec<_>>())
            .bind(containers.iter().map(|o| o.generation.cast_signed()).collect::<Vec<_>>())
            .bind(containers.iter().map(|o| o.removed).collect::<Vec<_>>())
            .fetch_all(&mut *db)
            .await?;
        for (place, known, newer) in rows {
            let Some(o) = containers.get(usize::try_from(place).unwrap_or(usize::MAX)) else { continue };
            match (known, newer) {
                (true, true) => judged.newer.push(o),
                (true, false) => {}
                (false, _) if o.removed => {}
                (false, _) => judged.unknown.push((o.tenant, o.container.clone())),
            }
        }
        // One batch may hold several observations of a container.
        judged.newer.sort_by_key(|o| o.generation);
        judged.unknown.dedup();
    }
    if !execs.is_empty() {
        let places: Vec<i64> = sqlx::query_scalar(EXECS_OF_HOST)
            .bind(host.0)
            .bind(execs.iter().map(|e| e.tenant.0).collect::<Vec<_>>())
            .bind(execs.iter().map(|e| e.container.as_str()).collect::<Vec<_>>())
            .fetch_all(&mut *db)
            .await?;
        judged.execs = places.into_iter().filter_map(|p| execs.get(usize::try_from(p).ok()?)).collect();
    }
    Ok(judged)
}

async fn store(db: &mut PgConnection, judged: &Judged<'_>) -> sqlx::Result<()> {
    let tenants: BTreeSet<Uuid> =
        judged.newer.iter().map(|o| o.tenant.0).chain(judged.execs.iter().map(|e| e.tenant.0)).collect();
    sqlx::query(LOCK_TENANTS).bind(tenants.into_iter().collect::<Vec<_>>()).execute(&mut *db).await?;
    for observation in &judged.newer {
        container::observe(&mut *db, observation).await?;
    }
    for observation in &judged.execs {
        exec::observe_exec(&mut *db, observation.tenant, observation).await?;
    }
    Ok(())
}

async fn mark_missing(db: &mut PgConnection, host: HostId, containers: &[Observation]) -> sqlx::Result<()> {
    let ids: Vec<&str> = containers.iter().map(|o| o.container.as_str()).collect();
    sqlx::query(FOUND_AGAIN).bind(host.0).bind(&ids).execute(&mut *db).await?;
    sqlx::query(MISSING).bind(host.0).bind(&ids).execute(&mut *db).await?;
    Ok(())
}
