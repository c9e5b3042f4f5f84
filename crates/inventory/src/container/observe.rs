//! Storing what a host saw of a container.
//!
//! The frontend whose verb caused it and the scheduler that ingests reports both write; the greater generation wins and the
//! other changes nothing. The comparison is in the UPDATE itself, so that a row which another writer has just changed is
//! judged by its newest version. The happenings that the row has not seen yet become events in the same statement; the row is
//! locked first, so that both writers agree on which these are.

use domain::{Error, Kind, Observation, Result};
use sqlx::{PgExecutor, types::Json};

use super::forget;
use crate::{TenantView, event::Arrays, failure, sql::tell_happenings};

const OBSERVE: &str = concat!(
    "WITH t AS (
        UPDATE tenants SET revision = revision + 1
        WHERE id = $1 AND EXISTS (SELECT FROM containers WHERE tenant_id = $1 AND id = $2 AND generation < $3)
        RETURNING id
    ), old AS MATERIALIZED (
        SELECT c.generation, c.name, c.image_reference, c.labels
        FROM t JOIN containers c ON c.tenant_id = t.id AND c.id = $2 WHERE c.generation < $3 FOR NO KEY UPDATE OF c
    ), plugged AS (
        SELECT n.id, n.name FROM endpoints e JOIN networks n ON n.tenant_id = e.tenant_id AND n.id = e.network_id
        WHERE e.tenant_id = $1 AND e.container_id = $2
    ), told AS (",
    tell_happenings!("old", "plugged", "$14", "$15", "$16", "$17"),
    ")
    UPDATE containers c SET generation = $3, status = $4, pid = $5, exit_code = $6, oom_killed = $7, error = $8,
        started_at = $9, finished_at = $10, restart_count = $11, health = $12,
        size_rw_bytes = coalesce($13, c.size_rw_bytes), missing_since = NULL
    FROM old WHERE c.tenant_id = $1 AND c.id = $2 AND c.generation < $3"
);

const EXISTS: &str = "SELECT EXISTS (SELECT FROM containers WHERE tenant_id = $1 AND id = $2)";

impl TenantView {
    /// Stores it if it is newer than what is known; one that says `removed` forgets the container. An older one, or one of
    /// a container that is already forgotten, changes nothing.
    pub async fn observe(&self, observation: &Observation) -> Result<()> {
        let observation = &Observation { tenant: self.id, ..observation.clone() };
        failure::retrying("store an observation", || observe(&self.pool, observation)).await?;
        self.bell.ring();
        Ok(())
    }

    /// As [`TenantView::observe`], for the first observation after a create: `NotFound` when the row is gone, because then
    /// nobody will ever see the container, and its host will be told to remove it.
    pub async fn observe_created(&self, observation: &Observation) -> Result<()> {
        self.observe(observation).await?;
        let query =
            || sqlx::query_scalar(EXISTS).bind(self.id.0).bind(observation.container.as_str()).fetch_one(&self.pool);
        match failure::retrying("look for a container", query).await? {
            true => Ok(()),
            false => Err(Error::not_found(Kind::Container, observation.container.as_str())),
        }
    }
}

pub(crate) async fn observe(db: impl PgExecutor<'_>, o: &Observation) -> sqlx::Result<()> {
    if o.removed {
        return forget(db, o.tenant, &o.container, false, &o.happenings).await.map(|_| ());
    }
    let happenings = Arrays::of(&o.happenings);
    sqlx::query(OBSERVE)
        .bind(o.tenant.0)
        .bind(o.container.as_str())
        .bind(o.generation.cast_signed())
        .bind(o.status.as_str())
        .bind(i64::from(o.pid))
        .bind(o.exit_code)
        .bind(o.oom_killed)
        .bind(&o.error)
        .bind(o.started_at)
        .bind(o.finished_at)
        .bind(o.restart_count.cast_signed())
        .bind(o.health.as_ref().map(Json))
        .bind(o.size_rw_bytes)
        .bind(happenings.generations)
        .bind(happenings.times_ns)
        .bind(happenings.actions)
        .bind(happenings.attributes)
        .execute(db)
        .await
        .map(|_| ())
}
