//! An image leaves the catalogue, and the tenant's right to blobs that no other image of it holds ends. The blobs themselves
//! stay until the collector finds that nobody refers to them. Containers made from it go on: they pin what they need.

use domain::{ContainerId, Digest, Result, Status};

use super::release::{Released, release};
use crate::{TenantView, failure, sql::tell_images};

const USERS: &str = "SELECT id, status FROM containers WHERE tenant_id = $1 AND image_id = $2 ORDER BY created_at, id";
const BUMP_IF_THERE: &str = "UPDATE tenants SET revision = revision + 1
    WHERE id = $1 AND EXISTS (SELECT FROM images WHERE tenant_id = $1 AND id = $2)";
/// What it may have had a right to besides its layers.
const DOCUMENTS: &str = "SELECT manifest_digest FROM image_digests WHERE tenant_id = $1 AND image_id = $2";
/// Before it goes: dockerd tells of each name, then of the image.
const TOLD: &str = tell_images!(
    "SELECT image_id, 'untag' AS action, 1 AS place FROM image_tags WHERE tenant_id = $1 AND image_id = $2
    UNION ALL SELECT image_id, 'untag', 1 FROM image_digests WHERE tenant_id = $1 AND image_id = $2
    UNION ALL SELECT $2, 'delete', 2"
);
/// Tags and digests go with the row (ON DELETE CASCADE).
const REMOVE: &str = "DELETE FROM images i WHERE i.tenant_id = $1 AND i.id = $2
    RETURNING ARRAY(SELECT layer->>'digest' FROM jsonb_array_elements(i.layers) AS layer)";

/// What went with an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Of layers (unpacked) that no image or container of the tenant uses any more.
    pub freed_bytes: u64,
    /// Layers that no image holds any more, but a container: they stay.
    pub pinned: Vec<Digest>,
}

impl TenantView {
    /// None if it was not there. Whether it may go (tags, containers) is the caller's question.
    pub async fn remove_image(&self, id: &Digest) -> Result<Option<Removed>> {
        let Some(released) = failure::retrying("remove an image", || self.try_remove_image(id)).await? else {
            return Ok(None);
        };
        let freed_bytes = released.iter().filter(|r| !r.pinned).map(|r| r.bytes.unsigned_abs()).sum();
        let pinned = released.iter().filter(|r| r.pinned).map(|r| r.digest.parse()).collect::<Result<_>>()?;
        Ok(Some(Removed { freed_bytes, pinned }))
    }

    async fn try_remove_image(&self, id: &Digest) -> sqlx::Result<Option<Vec<Released>>> {
        let mut tx = self.pool.begin().await?;
        let bumped = sqlx::query(BUMP_IF_THERE).bind(self.id.0).bind(id.as_str()).execute(&mut *tx).await?;
        if bumped.rows_affected() == 0 {
            return Ok(None);
        }
        let mut loose: Vec<String> =
            sqlx::query_scalar(DOCUMENTS).bind(self.id.0).bind(id.as_str()).fetch_all(&mut *tx).await?;
        sqlx::query(TOLD).bind(self.id.0).bind(id.as_str()).execute(&mut *tx).await?;
        let layers: Option<Vec<String>> =
            sqlx::query_scalar(REMOVE).bind(self.id.0).bind(id.as_str()).fetch_optional(&mut *tx).await?;
        let Some(layers) = layers else { return Ok(None) };
        loose.push(id.to_string());
        loose.extend(layers);
        let released = release(&mut tx, self.id, &loose).await?;
        tx.commit().await?;
        self.bell.ring();
        Ok(Some(released))
    }

    /// The tenant's containers made from it, oldest first.
    pub async fn image_users(&self, id: &Digest) -> Result<Vec<(ContainerId, Status)>> {
        let query = || sqlx::query_as(USERS).bind(self.id.0).bind(id.as_str()).fetch_all(&self.pool);
        let rows: Vec<(String, String)> = failure::retrying("find an image's containers", query).await?;
        rows.into_iter().map(|(id, status)| Ok((id.parse()?, status.parse()?))).collect()
    }
}
