//! Builds under way, and the step containers of those that nobody works on any more.

use std::time::Duration;

use domain::{ContainerId, Result, TenantId};
use uuid::Uuid;

use super::BUILD_LABEL;
use crate::{Inventory, TenantView, failure};

/// A step container without a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepContainer {
    pub tenant: TenantId,
    pub container: ContainerId,
}

/// One statement, so that two builds that begin at once are both counted: the tenant's row is locked.
const BEGIN: &str = "WITH t AS MATERIALIZED (SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE)
    INSERT INTO builds (id, tenant_id) SELECT $2, t.id FROM t
    WHERE (SELECT count(*) FROM builds b WHERE b.tenant_id = $1 AND b.seen_at > now() - make_interval(secs => $4)) < $3";
const BEAT: &str = "UPDATE builds SET seen_at = now() WHERE id = $1";
const END: &str = "DELETE FROM builds WHERE id = $1";
const FORGET_SILENT: &str = "DELETE FROM builds WHERE seen_at < now() - make_interval(secs => $1)";

impl TenantView {
    /// False where the tenant has `most` builds under way already. `silent`: see [`Inventory::abandoned_steps`].
    pub async fn begin_build(&self, build: Uuid, most: i64, silent: Duration) -> Result<bool> {
        let query =
            || sqlx::query(BEGIN).bind(self.id.0).bind(build).bind(most).bind(silent.as_secs_f64()).execute(&self.pool);
        Ok(failure::retrying("begin a build", query).await?.rows_affected() > 0)
    }
}

const DISOWN: &str = "WITH t AS (UPDATE tenants SET revision = revision + 1 WHERE id = $1 RETURNING id)
    UPDATE containers c SET labels = c.labels - $3 FROM t WHERE c.tenant_id = t.id AND c.id = $2";

impl TenantView {
    /// The container is the tenant's own from now on (`--rm=false`).
    pub async fn disown_step(&self, container: &ContainerId) -> Result<()> {
        let query =
            || sqlx::query(DISOWN).bind(self.id.0).bind(container.as_str()).bind(BUILD_LABEL).execute(&self.pool);
        failure::retrying("disown a build step", query).await.map(|_| ())
    }
}

impl Inventory {
    /// It is still worked on. False: somebody has given it up.
    pub async fn beat_build(&self, build: Uuid) -> Result<bool> {
        let query = || sqlx::query(BEAT).bind(build).execute(&self.pool);
        Ok(failure::retrying("keep a build", query).await?.rows_affected() > 0)
    }

    /// Idempotent.
    pub async fn end_build(&self, build: Uuid) -> Result<()> {
        failure::retrying("end a build", || sqlx::query(END).bind(build).execute(&self.pool)).await.map(|_| ())
    }

    /// Forgets builds that nobody has spoken of for `silent`, and gives the step containers that belong to no build.
    pub async fn abandoned_steps(&self, silent: Duration) -> Result<Vec<StepContainer>> {
        let query = || sqlx::query(FORGET_SILENT).bind(silent.as_secs_f64()).execute(&self.pool);
        failure::retrying("forget silent builds", query).await?;
        let query = || {
            let text = format!(
                "SELECT c.tenant_id, c.id FROM containers c WHERE c.labels ? '{BUILD_LABEL}' AND NOT EXISTS (
                    SELECT FROM builds b WHERE b.id::text = c.labels ->> '{BUILD_LABEL}') LIMIT 100"
            );
            sqlx::query_as(sqlx::AssertSqlSafe(text)).fetch_all(&self.pool)
        };
        let rows: Vec<(Uuid, String)> = failure::retrying("find abandoned build steps", query).await?;
        rows.into_iter()
            .map(|(tenant, id)| Ok(StepContainer { tenant: TenantId(tenant), container: id.parse()? }))
            .collect()
    }
}
