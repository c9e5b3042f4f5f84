//! What a crash left: rows that the complete reports of their host lack.
//!
//! A create that never came to its end (generation 0) is forgotten. A container that *was* there is not: its row may be
//! all that is left of it. It is shown as dead, with the reason, and only `rm` is legal; one with `--rm` goes by itself.
//!
//! A report that crossed a create on its way must do no harm: an unfinished row is old enough for its create to have ended,
//! and was missed a while ago; a lost one was missed by every complete report for as long as the caller says.

use std::time::Duration;

use domain::{ContainerId, HostId, Result, TenantId};
use uuid::Uuid;

use crate::{
    Inventory,
    container::forget,
    failure,
    sql::{container_attributes, now_ns},
};

/// A reservation whose host never answered the create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    pub tenant: TenantId,
    pub container: ContainerId,
    pub host: HostId,
}

/// A container that its host once had and has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub tenant: TenantId,
    pub container: ContainerId,
    pub host: HostId,
    pub auto_remove: bool,
}

/// 15 s: longer than a report can be on its way before the agent gives it up.
const UNFINISHED: &str = "SELECT tenant_id, id, host_id FROM containers
    WHERE missing_since < now() - interval '15 seconds' AND generation = 0
      AND created_at < now() - make_interval(secs => $1)";
const LOST: &str = "SELECT tenant_id, id, host_id, (spec->>'auto_remove')::boolean FROM containers
    WHERE missing_since < now() - make_interval(secs => $1) AND generation > 0";
/// Nobody knows how it ended: dockerd's code for that is 255.
const BURY: &str = concat!(
    "WITH t AS (
        UPDATE tenants SET revision = revision + 1 WHERE id = $1 RETURNING id
    ), old AS MATERIALIZED (
        SELECT c.status FROM t JOIN containers c ON c.tenant_id = t.id AND c.id = $2
        WHERE c.missing_since IS NOT NULL FOR NO KEY UPDATE OF c
    ), buried AS (
        UPDATE containers c SET status = 'dead', pid = 0, missing_since = NULL, finished_at = now(),
            error = 'the host of the container has lost it'
        FROM old WHERE c.tenant_id = $1 AND c.id = $2
        RETURNING c.id, c.name, c.image_reference, c.labels, old.status AS was
    )
    INSERT INTO events (tenant_id, at_ns, type, action, actor, attributes)
    SELECT $1, ",
    now_ns!(),
    ", 'container', 'die', c.id, ",
    container_attributes!(),
    " || '{\"exitCode\": \"255\"}' FROM buried c WHERE c.was IN ('running', 'paused')"
);

impl Inventory {
    /// Generation 0, older than this, and lacking in its host's last complete report.
    pub async fn unfinished(&self, older_than: Duration) -> Result<Vec<Unfinished>> {
        let query = || sqlx::query_as(UNFINISHED).bind(older_than.as_secs_f64()).fetch_all(&self.pool);
        let rows: Vec<(Uuid, String, Uuid)> = failure::retrying("find unfinished creates", query).await?;
        rows.into_iter()
            .map(|(tenant, id, host)| {
                Ok(Unfinished { tenant: TenantId(tenant), container: id.parse()?, host: HostId(host) })
            })
            .collect()
    }

    /// Observed once, and lacking in its host's complete reports for this long.
    pub async fn lost(&self, missing_for: Duration) -> Result<Vec<Lost>> {
        let query = || sqlx::query_as(LOST).bind(missing_for.as_secs_f64()).fetch_all(&self.pool);
        let rows: Vec<(Uuid, String, Uuid, bool)> = failure::retrying("find lost containers", query).await?;
        rows.into_iter()
            .map(|(tenant, id, host, auto_remove)| {
                Ok(Lost { tenant: TenantId(tenant), container: id.parse()?, host: HostId(host), auto_remove })
            })
            .collect()
    }

    /// Forgets a container, unless its host has it again; true if it did.
    pub async fn forget_missing(&self, tenant: TenantId, container: &ContainerId) -> Result<bool> {
        let forgotten =
            failure::retrying("forget a missing container", || forget(&self.pool, tenant, container, true, &[]))
                .await?;
        self.bell.ring();
        Ok(forgotten)
    }

    /// Shows a lost container as dead; nothing happens if its host has it again.
    pub async fn bury(&self, tenant: TenantId, container: &ContainerId) -> Result<()> {
        let query = || sqlx::query(BURY).bind(tenant.0).bind(container.as_str()).execute(&self.pool);
        failure::retrying("bury a lost container", query).await?;
        self.bell.ring();
        Ok(())
    }

    /// Runs `work` if no other process does such work now: false if one does. The lock goes with the connection.
    pub async fn alone<F: Future<Output = ()>>(&self, name: &str, work: F) -> Result<bool> {
        let context = "take a singleton's lock";
        let mut tx = self.pool.begin().await.map_err(|e| failure::translate(context, e))?;
        let mine: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(2003333735, hashtext($1))")
            .bind(name)
            .fetch_one(&mut *tx)
            .await
            .map_err(|e| failure::translate(context, e))?;
        if mine {
            work.await;
        }
        tx.commit().await.map_err(|e| failure::translate(context, e))?;
        Ok(mine)
    }
}
