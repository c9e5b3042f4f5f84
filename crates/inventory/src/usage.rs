//! What a tenant has now: for `docker info` and the quota pages.

use domain::{Error, Kind, Result};

use crate::{TenantView, failure};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Usage {
    pub containers: i64,
    pub running: i64,
    pub paused: i64,
    /// All that neither run nor are paused, as dockerd counts.
    pub stopped: i64,
    pub images: i64,
    /// Reserved bytes.
    pub memory_used_bytes: i64,
    /// Reserved thousandths of a CPU.
    pub cpu_used_millis: i64,
}

const USAGE: &str = "SELECT t.memory_used_bytes, t.cpu_used_millis, c.containers, c.running, c.paused,
        c.containers - c.running - c.paused AS stopped,
        (SELECT count(*) FROM images i WHERE i.tenant_id = $1) AS images
    FROM tenants t, (
        SELECT count(*) AS containers,
            count(*) FILTER (WHERE status = 'running') AS running,
            count(*) FILTER (WHERE status = 'paused') AS paused
        FROM containers WHERE tenant_id = $1) c
    WHERE t.id = $1";

impl TenantView {
    /// One query over the tenant's own rows.
    pub async fn usage(&self) -> Result<Usage> {
        failure::retrying("read the usage", || sqlx::query_as(USAGE).bind(self.id.0).fetch_optional(&self.pool))
            .await?
            .ok_or_else(|| Error::not_found(Kind::Tenant, self.id.to_string()))
    }
}
