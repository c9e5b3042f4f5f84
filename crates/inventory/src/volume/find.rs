//! Look-up of volumes, by exact name only, as in dockerd.

use domain::{Error, Kind, Result};

use super::{Volume, VolumeRow};
use crate::{TenantView, failure};

/// The columns of a volume, from `volumes v`.
macro_rules! volume_columns {
    () => {
        "v.id, v.name, v.driver, v.labels, v.options, v.size_bytes, v.host_id, v.created_at,
        ARRAY(SELECT c.id FROM containers c
              WHERE c.tenant_id = v.tenant_id AND c.id IN (
                  SELECT m.container_id FROM volume_mounts m WHERE m.tenant_id = v.tenant_id AND m.volume_id = v.id)
              ORDER BY c.created_at, c.id) AS users"
    };
}

const ALL: &str = concat!("SELECT ", volume_columns!(), " FROM volumes v WHERE v.tenant_id = $1 ORDER BY v.name");
pub(super) const BY_NAME: &str =
    concat!("SELECT ", volume_columns!(), " FROM volumes v WHERE v.tenant_id = $1 AND v.name = $2");

impl TenantView {
    /// By name.
    pub async fn volumes(&self) -> Result<Vec<Volume>> {
        let query = || sqlx::query_as(ALL).bind(self.id.0).fetch_all(&self.pool);
        let rows: Vec<VolumeRow> = failure::retrying("list volumes", query).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    pub async fn volume(&self, name: &str) -> Result<Volume> {
        let query = || sqlx::query_as(BY_NAME).bind(self.id.0).bind(name).fetch_optional(&self.pool);
        let row: Option<VolumeRow> = failure::retrying("find a volume", query).await?;
        row.ok_or_else(|| Error::not_found(Kind::Volume, name))?.try_into()
    }
}
