//! The end of a container's row: what it held goes back to its host and its tenant, in one statement.
//!
//! Whoever deletes the row gives back; a second call finds no row and gives nothing. The rows are locked before the
//! DELETE in the crate's order (tenant, host). What its host did to it last, and `destroy`, become events; a container whose
//! create was taken back was never there for anybody.

use std::collections::BTreeMap;

use chrono::Utc;
use domain::{ContainerId, Happening, Result, TenantId};
use sqlx::PgExecutor;

use crate::{
    TenantView,
    event::Arrays,
    failure,
    sql::{now_ns, tell_happenings},
};

const FORGET: &str = concat!(
    "WITH t AS MATERIALIZED (
        SELECT id FROM tenants
        WHERE id = $1 AND EXISTS (SELECT FROM containers WHERE tenant_id = $1 AND id = $2) FOR NO KEY UPDATE
    ), h AS MATERIALIZED (
        SELECT h.id FROM t JOIN containers c ON c.tenant_id = t.id AND c.id = $2 JOIN hosts h ON h.id = c.host_id
        FOR NO KEY UPDATE OF h
    ), plugged AS MATERIALIZED (
        SELECT n.id, n.name FROM endpoints e JOIN networks n ON n.tenant_id = e.tenant_id AND n.id = e.network_id
        WHERE e.tenant_id = $1 AND e.container_id = $2
    ), own AS MATERIALIZED (
        SELECT v.id FROM volume_mounts m
        JOIN volumes v ON v.tenant_id = m.tenant_id AND v.id = m.volume_id
        JOIN containers c ON c.tenant_id = m.tenant_id AND c.id = m.container_id
        WHERE m.tenant_id = $1 AND m.container_id = $2 AND (m.goes_with OR m.own AND c.generation = 0)
          AND NOT EXISTS (SELECT FROM volume_mounts o
              WHERE o.tenant_id = $1 AND o.volume_id = m.volume_id AND o.container_id <> $2)
    ), gone AS (
        DELETE FROM containers c USING h
        WHERE c.tenant_id = $1 AND c.id = $2 AND c.host_id = h.id AND (NOT $3 OR c.missing_since IS NOT NULL)
        RETURNING c.host_id, c.cpu_millis, c.memory_bytes, c.generation, c.name, c.image_reference, c.labels
    ), unmounted AS (
        DELETE FROM volume_mounts m USING gone WHERE m.tenant_id = $1 AND m.container_id = $2
    ), emptied AS (
        DELETE FROM volumes v USING gone WHERE v.tenant_id = $1 AND v.id IN (SELECT id FROM own)
        RETURNING v.id, v.host_id, v.driver, v.name
    ), volumes_told AS (
        INSERT INTO events (tenant_id, at_ns, type, action, actor, attributes)
        SELECT $1, ",
    now_ns!(),
    ", 'volume', 'destroy', name, jsonb_build_object('driver', driver) FROM emptied
    ), left_over AS (
        INSERT INTO removed_volumes (id, tenant_id, host_id)
        SELECT id, $1, host_id FROM emptied WHERE host_id IS NOT NULL OR driver = 'shared'
    ), unplugged AS (
        UPDATE networks n SET generation = n.generation + 1 FROM gone
        WHERE n.tenant_id = $1 AND n.id IN (SELECT id FROM plugged)
    ), host_has AS (
        UPDATE hosts h SET cpu_millis_free = h.cpu_millis_free + gone.cpu_millis,
            memory_bytes_free = h.memory_bytes_free + gone.memory_bytes, containers = h.containers - 1
        FROM gone WHERE h.id = gone.host_id
    ), tenant_has AS (
        UPDATE tenants t SET memory_used_bytes = t.memory_used_bytes - gone.memory_bytes,
            cpu_used_millis = t.cpu_used_millis - gone.cpu_millis, containers_used = t.containers_used - 1,
            revision = t.revision + 1
        FROM gone WHERE t.id = $1
    ), seen AS (
        SELECT * FROM gone WHERE generation > 0 OR 'create' = ANY ($6)
    ), told AS (",
    tell_happenings!("seen", "plugged", "$4", "$5", "$6", "$7"),
    ")
    SELECT count(*) > 0 FROM gone"
);

impl TenantView {
    /// True if there was a row. Idempotent.
    pub async fn forget(&self, id: &ContainerId) -> Result<bool> {
        self.forget_with(id, &[]).await
    }

    /// As [`TenantView::forget`], with what its host did to it last.
    pub async fn forget_with(&self, id: &ContainerId, happenings: &[Happening]) -> Result<bool> {
        let gone =
            failure::retrying("forget a container", || forget(&self.pool, self.id, id, false, happenings)).await?;
        self.bell.ring();
        Ok(gone)
    }
}

/// `if_missing`: only while the host's complete reports lack it.
pub(crate) async fn forget(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    id: &ContainerId,
    if_missing: bool,
    happenings: &[Happening],
) -> sqlx::Result<bool> {
    let arrays = Arrays::of(&with_destroy(happenings));
    sqlx::query_scalar(FORGET)
        .bind(tenant.0)
        .bind(id.as_str())
        .bind(if_missing)
        .bind(arrays.generations)
        .bind(arrays.times_ns)
        .bind(arrays.actions)
        .bind(arrays.attributes)
        .fetch_one(db)
        .await
}

/// The last of all, whatever the row has seen.
fn with_destroy(happenings: &[Happening]) -> Vec<Happening> {
    let destroy = Happening {
        generation: i64::MAX.unsigned_abs(),
        at: Utc::now(),
        action: "destroy".to_owned(),
        attributes: BTreeMap::new(),
    };
    happenings.iter().cloned().chain([destroy]).collect()
}
