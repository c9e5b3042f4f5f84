//! An image leaves the catalogue. Its blobs stay in the store; the tenant's right to those that no other image of it holds
//! ends. Containers made from it go on: their rows name the layers, which is what a host's right to a blob hangs on.

use domain::{ContainerId, Digest, Result, Status};

use crate::{TenantView, failure};

const USERS: &str = "SELECT id, status FROM containers WHERE tenant_id = $1 AND image_id = $2 ORDER BY created_at, id";
/// Tags and digests go with the row (ON DELETE CASCADE).
const REMOVE: &str = "WITH t AS (
        UPDATE tenants SET revision = revision + 1 WHERE id = $1 RETURNING id
    ), manifests AS MATERIALIZED (
        SELECT manifest_digest FROM image_digests WHERE tenant_id = $1 AND image_id = $2
    ), gone AS (
        DELETE FROM images i USING t WHERE i.tenant_id = t.id AND i.id = $2 RETURNING i.id, i.layers
    ), loose AS (
        SELECT id AS digest FROM gone
        UNION SELECT manifest_digest FROM manifests
        UNION SELECT layer->>'digest' FROM gone, jsonb_array_elements(gone.layers) AS layer
    ), dropped AS (
        DELETE FROM blob_rights r USING loose
        WHERE r.tenant_id = $1 AND r.digest = loose.digest AND NOT EXISTS (
            SELECT FROM images i WHERE i.tenant_id = $1 AND i.id <> $2
              AND i.layers @> jsonb_build_array(jsonb_build_object('digest', loose.digest)))
    )
    SELECT count(*) > 0 FROM gone";

impl TenantView {
    /// True if it was there. Whether it may go (tags, containers) is the caller's question.
    pub async fn remove_image(&self, id: &Digest) -> Result<bool> {
        let query = || sqlx::query_scalar(REMOVE).bind(self.id.0).bind(id.as_str()).fetch_one(&self.pool);
        failure::retrying("remove an image", query).await
    }

    /// The tenant's containers made from it, oldest first.
    pub async fn image_users(&self, id: &Digest) -> Result<Vec<(ContainerId, Status)>> {
        let query = || sqlx::query_as(USERS).bind(self.id.0).bind(id.as_str()).fetch_all(&self.pool);
        let rows: Vec<(String, String)> = failure::retrying("find an image's containers", query).await?;
        rows.into_iter().map(|(id, status)| Ok((id.parse()?, status.parse()?))).collect()
    }
}
