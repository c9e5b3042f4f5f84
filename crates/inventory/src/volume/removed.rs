//! Directories of removed volumes, until their host has deleted them.
//!
//! A host deletes what stands here and nothing else: a directory that the inventory does not know may be all that is left
//! of a tenant's data, for instance after the database was restored.

use domain::{HostId, Result, TenantId, VolumeId};
use uuid::Uuid;

use crate::{Inventory, failure};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedVolume {
    pub tenant: TenantId,
    pub id: VolumeId,
    /// On the cluster file system.
    pub shared: bool,
}

/// Enough for one acknowledgement; the rest comes with the next.
const OF_HOST: &str = "SELECT tenant_id, id, host_id IS NULL FROM removed_volumes
    WHERE host_id = $1 OR ($2 AND host_id IS NULL) ORDER BY removed_at LIMIT 256";
const DONE: &str = "DELETE FROM removed_volumes WHERE id = ANY ($2) AND (host_id = $1 OR host_id IS NULL)";

impl Inventory {
    /// What `host` still has to delete; also shared ones where it has the cluster file system.
    pub async fn removed_volumes(&self, host: HostId, with_shared: bool) -> Result<Vec<RemovedVolume>> {
        let query = || sqlx::query_as(OF_HOST).bind(host.0).bind(with_shared).fetch_all(&self.pool);
        let rows: Vec<(Uuid, Uuid, bool)> = failure::retrying("find removed volumes", query).await?;
        let removed = |(tenant, id, shared)| RemovedVolume { tenant: TenantId(tenant), id: VolumeId(id), shared };
        Ok(rows.into_iter().map(removed).collect())
    }

    /// `host` has deleted these.
    pub async fn volumes_deleted(&self, host: HostId, volumes: &[VolumeId]) -> Result<()> {
        let ids: Vec<Uuid> = volumes.iter().map(|v| v.0).collect();
        let query = || sqlx::query(DONE).bind(host.0).bind(&ids).execute(&self.pool);
        failure::retrying("note deleted volumes", query).await.map(|_| ())
    }
}
