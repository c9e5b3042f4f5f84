//! Blobs: once for all tenants in the store; who may use which, and which host needs which.

use domain::{ContainerId, Digest, HostId, Result, TenantId};

use crate::{Inventory, TenantView, failure};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub digest: Digest,
    pub size_bytes: u64,
    /// Of the uncompressed tar, for a layer.
    pub diff_id: Option<Digest>,
}

const NEEDED: &str = "SELECT EXISTS (SELECT FROM containers c
    WHERE c.tenant_id = $1 AND c.id = $2 AND c.host_id = $3
      AND (c.image_id = $4 OR EXISTS (
          SELECT FROM json_array_elements(c.spec->'image'->'layers') AS layer WHERE layer->>'digest' = $4)))";
const ONE: &str = "SELECT b.digest, b.size_bytes, b.diff_id FROM blob_rights r JOIN blobs b ON b.digest = r.digest
    WHERE r.tenant_id = $1 AND r.digest = $2";

impl Inventory {
    /// Is there a container of that tenant on that host whose image holds the blob?
    pub async fn host_needs_blob(
        &self,
        host: HostId,
        tenant: TenantId,
        container: &ContainerId,
        digest: &Digest,
    ) -> Result<bool> {
        let query = || {
            sqlx::query_scalar(NEEDED)
                .bind(tenant.0)
                .bind(container.as_str())
                .bind(host.0)
                .bind(digest.as_str())
                .fetch_one(&self.pool)
        };
        failure::retrying("check a host's right to a blob", query).await
    }
}

impl TenantView {
    /// The tenant fetched or uploaded it itself.
    pub async fn has_blob_right(&self, digest: &Digest) -> Result<bool> {
        Ok(self.blob(digest).await?.is_some())
    }

    /// None also when the store has it but the tenant has no right to it.
    pub async fn blob(&self, digest: &Digest) -> Result<Option<Blob>> {
        let query = || sqlx::query_as(ONE).bind(self.id.0).bind(digest.as_str()).fetch_optional(&self.pool);
        let row: Option<(String, i64, Option<String>)> = failure::retrying("find a blob", query).await?;
        row.map(|(digest, size_bytes, diff_id)| {
            Ok(Blob {
                digest: digest.parse()?,
                size_bytes: size_bytes.unsigned_abs(),
                diff_id: diff_id.map(|d| d.parse()).transpose()?,
            })
        })
        .transpose()
    }
}
