//! The manifests that a tenant's images came with or were pushed with: Docker's RepoDigests, byte for byte.

use domain::{Digest, Error, Kind, Result};

use super::put::DIGESTS;
use crate::{TenantView, failure};

/// Of one question: hints, of which a few suffice.
const WITH_MAX: i64 = 64;

const OF_IMAGE: &str = "SELECT repository, manifest FROM image_digests WHERE tenant_id = $1 AND image_id = $2
    ORDER BY repository, manifest_digest";
const WITH_LAYERS: &str = "SELECT d.repository, d.manifest FROM image_digests d
    JOIN images i ON i.tenant_id = d.tenant_id AND i.id = d.image_id
    WHERE d.tenant_id = $1 AND EXISTS (
        SELECT FROM jsonb_array_elements(i.layers) AS layer WHERE layer->>'diff_id' = ANY ($2))
    ORDER BY d.repository LIMIT $3";
const BUMP_IF_THERE: &str = "UPDATE tenants SET revision = revision + 1
    WHERE id = $1 AND EXISTS (SELECT FROM images WHERE tenant_id = $1 AND id = $2)";

impl TenantView {
    /// Familiar repository and manifest of each.
    pub async fn manifests_of(&self, id: &Digest) -> Result<Vec<(String, Vec<u8>)>> {
        let query = || sqlx::query_as(OF_IMAGE).bind(self.id.0).bind(id.as_str()).fetch_all(&self.pool);
        failure::retrying("find an image's manifests", query).await
    }

    /// Some of the manifests of images that hold one of these layers (diff ids).
    pub async fn manifests_with(&self, layers: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let query = || sqlx::query_as(WITH_LAYERS).bind(self.id.0).bind(layers).bind(WITH_MAX).fetch_all(&self.pool);
        failure::retrying("find manifests with a layer", query).await
    }

    /// The image is in `repository` under that digest. Idempotent.
    pub async fn add_digest(&self, id: &Digest, repository: &str, digest: &Digest, manifest: &[u8]) -> Result<()> {
        let add = || self.try_add_digest(id, repository, digest, manifest);
        let found = failure::retrying("note an image's digest", add).await?;
        if found { Ok(()) } else { Err(Error::not_found(Kind::Image, id.as_str())) }
    }

    async fn try_add_digest(
        &self,
        id: &Digest,
        repository: &str,
        digest: &Digest,
        manifest: &[u8],
    ) -> sqlx::Result<bool> {
        let mut tx = self.pool.begin().await?;
        let bumped = sqlx::query(BUMP_IF_THERE).bind(self.id.0).bind(id.as_str()).execute(&mut *tx).await?;
        if bumped.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(DIGESTS)
            .bind(self.id.0)
            .bind(id.as_str())
            .bind(vec![repository])
            .bind(vec![digest.as_str()])
            .bind(vec![manifest])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }
}
