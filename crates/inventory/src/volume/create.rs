//! `docker volume create`: idempotent by name.

use domain::{Error, NewVolume, Result};
use sqlx::types::Json;
use uuid::Uuid;

use super::{Volume, VolumeRow, find::BY_NAME};
use crate::{TenantView, event, failure};

const TOUCH: &str = "UPDATE tenants SET revision = revision + 1 WHERE id = $1";
const INSERT: &str = "INSERT INTO volumes (tenant_id, id, name, driver, labels, options, size_bytes)
    VALUES ($1, $2, $3, coalesce($4, 'local'), $5, $6, $7) ON CONFLICT ON CONSTRAINT volumes_pkey DO NOTHING";

impl TenantView {
    /// The volume of that name, and whether it is new. `Conflict` where it exists with another driver.
    pub async fn create_volume(&self, new: &NewVolume) -> Result<(Volume, bool)> {
        let (row, made) = failure::retrying("create a volume", || self.try_create_volume(new)).await?;
        let volume = Volume::try_from(row)?;
        check_driver(new, &volume)?;
        Ok((volume, made))
    }

    async fn try_create_volume(&self, new: &NewVolume) -> sqlx::Result<(VolumeRow, bool)> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(TOUCH).bind(self.id.0).execute(&mut *tx).await?;
        let made = sqlx::query(INSERT)
            .bind(self.id.0)
            .bind(Uuid::new_v4())
            .bind(&new.name)
            .bind(new.driver.map(|d| d.as_str()))
            .bind(Json(&new.labels))
            .bind(Json(&new.options))
            .bind(new.size_bytes)
            .execute(&mut *tx)
            .await?;
        let row: VolumeRow = sqlx::query_as(BY_NAME).bind(self.id.0).bind(&new.name).fetch_one(&mut *tx).await?;
        let is_new = made.rows_affected() > 0;
        if is_new {
            event::put(&mut *tx, self.id, &[super::event("create", &row.name, &row.driver)]).await?;
        }
        tx.commit().await?;
        self.bell.ring();
        Ok((row, is_new))
    }
}

/// dockerd's text for a name that another driver has.
fn check_driver(new: &NewVolume, found: &Volume) -> Result<()> {
    if new.driver.is_none_or(|driver| driver == found.driver) {
        return Ok(());
    }
    Err(Error::conflict(format!("create {}: conflict: volume name must be unique", new.name)))
}
