//! The end of a tenant's right to blobs: nothing in its catalogue holds them any more.
//!
//! The blob's row is marked, in the same transaction, as one that the collector must look at.

use domain::TenantId;
use sqlx::PgConnection;

/// Rights of $1 to $2, except to what an image of the tenant still holds. Rows of blobs are locked in the order of their
/// digests, as everywhere.
const RELEASE: &str = "WITH dropped AS (
        DELETE FROM blob_rights r USING (SELECT DISTINCT d AS digest FROM unnest($2::text[]) AS d) loose
        WHERE r.tenant_id = $1 AND r.digest = loose.digest AND NOT EXISTS (
            SELECT FROM images i WHERE i.tenant_id = $1
              AND i.layers @> jsonb_build_array(jsonb_build_object('digest', loose.digest)))
        RETURNING r.digest
    ), locked AS MATERIALIZED (
        SELECT b.digest FROM blobs b WHERE b.digest IN (SELECT digest FROM dropped) ORDER BY b.digest FOR UPDATE
    ), idle AS (
        UPDATE blobs b SET idle_since = now() FROM locked WHERE b.digest = locked.digest
        RETURNING b.digest, coalesce(b.diff_bytes, b.size_bytes) AS bytes
    )
    SELECT idle.digest, idle.bytes, EXISTS (
        SELECT FROM image_pins p WHERE p.tenant_id = $1 AND p.blobs @> ARRAY[idle.digest] AND EXISTS (
            SELECT FROM containers c WHERE c.tenant_id = $1 AND c.image_id = p.image_id)) AS pinned FROM idle";

/// A blob that the tenant's catalogue holds no more.
#[derive(sqlx::FromRow)]
pub(crate) struct Released {
    pub(crate) digest: String,
    /// Of a layer: unpacked.
    pub(crate) bytes: i64,
    /// A container of the tenant needs it.
    pub(crate) pinned: bool,
}

/// The caller has locked the tenant's row.
pub(crate) async fn release(
    db: &mut PgConnection,
    tenant: TenantId,
    digests: &[String],
) -> sqlx::Result<Vec<Released>> {
    if digests.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(RELEASE).bind(tenant.0).bind(digests).fetch_all(db).await
}
