//! The end of volumes: by name, by prune, and with the container that they were made for.

use domain::{ContainerId, Error, Kind, Result};
use sqlx::PgConnection;

use super::{Volume, VolumeRow, find::BY_NAME};
use crate::{TenantView, event, failure};

const TOUCH: &str = "UPDATE tenants SET revision = revision + 1 WHERE id = $1";
/// A volume that no host ever had leaves nothing to delete.
const DELETE: &str = "WITH gone AS (
        DELETE FROM volumes v WHERE v.tenant_id = $1 AND v.name = ANY ($2)
            AND NOT EXISTS (SELECT FROM volume_mounts m WHERE m.tenant_id = $1 AND m.volume_id = v.id)
        RETURNING v.id, v.tenant_id, v.name, v.driver, v.host_id
    ), left_over AS (
        INSERT INTO removed_volumes (id, tenant_id, host_id)
        SELECT id, tenant_id, host_id FROM gone WHERE host_id IS NOT NULL OR driver = 'shared'
    )
    SELECT name, driver FROM gone ORDER BY name";
const GOES_WITH: &str = "UPDATE volume_mounts SET goes_with = $3 WHERE tenant_id = $1 AND container_id = $2 AND own";

impl TenantView {
    /// `NotFound`, or `Conflict` in dockerd's words while a container has it.
    pub async fn remove_volume(&self, name: &str) -> Result<Volume> {
        let found = failure::retrying("remove a volume", || self.try_remove_volume(name)).await?;
        let volume: Volume = found.ok_or_else(|| Error::not_found(Kind::Volume, name))?.try_into()?;
        if volume.users.is_empty() {
            return Ok(volume);
        }
        let users: Vec<&str> = volume.users.iter().map(ContainerId::as_str).collect();
        Err(Error::conflict(format!("remove {name}: volume is in use - [{}]", users.join(", "))))
    }

    /// Those of `names` that no container has; gives back which went.
    pub async fn remove_unused_volumes(&self, names: &[String]) -> Result<Vec<String>> {
        failure::retrying("prune volumes", || self.try_remove_unused_volumes(names)).await
    }

    /// `rm -v`, before the host is asked: whoever hears first that the container is gone then takes its volumes along.
    pub async fn volumes_go_with(&self, container: &ContainerId, they_do: bool) -> Result<()> {
        let query =
            || sqlx::query(GOES_WITH).bind(self.id.0).bind(container.as_str()).bind(they_do).execute(&self.pool);
        failure::retrying("mark a container's volumes", query).await.map(|_| ())
    }

    async fn try_remove_volume(&self, name: &str) -> sqlx::Result<Option<VolumeRow>> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(TOUCH).bind(self.id.0).execute(&mut *tx).await?;
        let found: Option<VolumeRow> =
            sqlx::query_as(BY_NAME).bind(self.id.0).bind(name).fetch_optional(&mut *tx).await?;
        if found.as_ref().is_some_and(|v| v.users.is_empty()) {
            self.delete(&mut tx, &[name.to_owned()]).await?;
        }
        tx.commit().await?;
        self.bell.ring();
        Ok(found)
    }

    async fn try_remove_unused_volumes(&self, names: &[String]) -> sqlx::Result<Vec<String>> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(TOUCH).bind(self.id.0).execute(&mut *tx).await?;
        let gone = self.delete(&mut tx, names).await?;
        tx.commit().await?;
        self.bell.ring();
        Ok(gone)
    }

    /// Under the tenant's lock.
    async fn delete(&self, db: &mut PgConnection, names: &[String]) -> sqlx::Result<Vec<String>> {
        let gone: Vec<(String, String)> =
            sqlx::query_as(DELETE).bind(self.id.0).bind(names).fetch_all(&mut *db).await?;
        let events: Vec<_> = gone.iter().map(|(name, driver)| super::event("destroy", name, driver)).collect();
        event::put(db, self.id, &events).await?;
        Ok(gone.into_iter().map(|(name, _)| name).collect())
    }
}
