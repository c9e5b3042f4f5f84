//! Garbage collection of blobs: what nobody refers to goes, from here and from the store.
//!
//! References are `blob_rights` (a tenant's catalogue) and `image_pins` (containers). Nobody counts: what takes a reference
//! away marks the blob as idle, and the collector looks at blobs that have been idle for a grace period.
//!
//! **The race** is with whoever has seen the blob in the store and has not written its reference yet: a pull that found it
//! there, an upload that is about to be named. Such work *claims* first, which starts the grace anew; a claim waits while
//! the collector deletes that very blob, so after it the store is the truth, and must be asked (again). A container's
//! reservation does not claim: its image was in the catalogue a moment ago, so the grace has begun at that moment at the
//! earliest. Hence the grace must be longer than a placement takes: see [`GRACE_LEAST`].

use std::time::Duration;

use domain::{Digest, Result};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Inventory, failure};

/// A placement is given up after 30 s.
pub const GRACE_LEAST: Duration = Duration::from_secs(60);
/// Shorter than others wait for the row's lock.
const DELETE_TIMEOUT: Duration = Duration::from_secs(4);

/// A blob that is in the store or about to be.
#[derive(Debug, Clone)]
pub struct BlobClaim {
    pub digest: Digest,
    /// As stored.
    pub size_bytes: u64,
    /// Of a layer: its uncompressed tar's digest and bytes.
    pub diff: Option<(Digest, u64)>,
}

const CLAIM: &str = "INSERT INTO blobs (digest, size_bytes, diff_id, diff_bytes, idle_since)
    SELECT DISTINCT ON (b.digest) b.digest, b.size_bytes, b.diff_id, b.diff_bytes, now()
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS b (digest, size_bytes, diff_id, diff_bytes)
    ORDER BY b.digest
    ON CONFLICT (digest) DO UPDATE SET idle_since = now(), diff_id = coalesce(blobs.diff_id, excluded.diff_id),
        diff_bytes = coalesce(blobs.diff_bytes, excluded.diff_bytes)";
const IDLE: &str = "SELECT digest FROM blobs WHERE idle_since < now() - make_interval(secs => $1)
    ORDER BY idle_since LIMIT $2";
const LOCK: &str = "SELECT size_bytes FROM blobs
    WHERE digest = $1 AND idle_since < now() - make_interval(secs => $2) FOR UPDATE SKIP LOCKED";
const USED: &str = "SELECT EXISTS (SELECT FROM blob_rights WHERE digest = $1)
    OR EXISTS (SELECT FROM image_pins WHERE blobs @> ARRAY[$1])";
const KEEP: &str = "UPDATE blobs SET idle_since = NULL WHERE digest = $1";
const DELETE: &str = "DELETE FROM blobs WHERE digest = $1";
const LOOSE_PINS: &str = "SELECT DISTINCT p.tenant_id FROM image_pins p WHERE NOT EXISTS (
    SELECT FROM containers c WHERE c.tenant_id = p.tenant_id AND c.image_id = p.image_id)";
const LOCK_TENANT: &str = "SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE";
const UNPIN: &str = "DELETE FROM image_pins p WHERE p.tenant_id = $1 AND NOT EXISTS (
        SELECT FROM containers c WHERE c.tenant_id = p.tenant_id AND c.image_id = p.image_id)
    RETURNING p.blobs";
const MARK: &str = "UPDATE blobs b SET idle_since = now() FROM (
        SELECT digest FROM blobs WHERE digest = ANY ($1) ORDER BY digest FOR UPDATE
    ) locked WHERE b.digest = locked.digest";
const UNMARKED: &str = "SELECT b.digest FROM blobs b WHERE b.idle_since IS NULL
    AND NOT EXISTS (SELECT FROM blob_rights r WHERE r.digest = b.digest)
    AND NOT EXISTS (SELECT FROM image_pins p WHERE p.blobs @> ARRAY[b.digest])";
const UNKNOWN: &str = "SELECT d FROM unnest($1::text[]) AS d WHERE NOT EXISTS (SELECT FROM blobs WHERE digest = d)";

impl Inventory {
    /// The blobs are kept for a grace period from now, whoever refers to them. Waits while one of them is being deleted:
    /// what the store said of it before does not count.
    pub async fn claim_blobs(&self, claims: &[BlobClaim]) -> Result<()> {
        if claims.is_empty() {
            return Ok(());
        }
        let query = || {
            sqlx::query(CLAIM)
                .bind(claims.iter().map(|c| c.digest.as_str()).collect::<Vec<_>>())
                .bind(claims.iter().map(|c| c.size_bytes.cast_signed()).collect::<Vec<_>>())
                .bind(claims.iter().map(|c| c.diff.as_ref().map(|(id, _)| id.as_str())).collect::<Vec<_>>())
                .bind(claims.iter().map(|c| c.diff.as_ref().map(|(_, bytes)| bytes.cast_signed())).collect::<Vec<_>>())
                .execute(&self.pool)
        };
        failure::retrying("claim blobs", query).await.map(|_| ())
    }

    /// At most `most` blobs that nothing has referred to for that long, as far as is known without looking; oldest first.
    pub async fn idle_blobs(&self, idle_for: Duration, most: i64) -> Result<Vec<Digest>> {
        let query = || sqlx::query_scalar(IDLE).bind(idle_for.as_secs_f64()).bind(most).fetch_all(&self.pool);
        parsed(failure::retrying("find idle blobs", query).await?)
    }

    /// Looks at one blob. If nothing refers to it, runs `delete` (which takes it out of the store) while nobody can claim
    /// it, and forgets it: its bytes. None: it is in use, claimed again, or another collector's.
    pub async fn collect_blob<F>(&self, digest: &Digest, idle_for: Duration, delete: F) -> Result<Option<u64>>
    where
        F: Future<Output = Result<()>>,
    {
        let context = "collect a blob";
        let mut tx = self.pool.begin().await.map_err(|e| failure::translate(context, e))?;
        let Some(size_bytes) =
            condemned(&mut tx, digest, idle_for).await.map_err(|e| failure::translate(context, e))?
        else {
            tx.commit().await.map_err(|e| failure::translate(context, e))?;
            return Ok(None);
        };
        let late = |_| domain::Error::unavailable("the store takes too long to delete a blob");
        tokio::time::timeout(DELETE_TIMEOUT, delete).await.map_err(late)??;
        tx.commit().await.map_err(|e| failure::translate(context, e))?;
        Ok(Some(size_bytes.unsigned_abs()))
    }

    /// Pins of containers that are all gone.
    pub async fn release_pins(&self) -> Result<()> {
        let query = || sqlx::query_scalar(LOOSE_PINS).fetch_all(&self.pool);
        let tenants: Vec<Uuid> = failure::retrying("find loose pins", query).await?;
        for tenant in tenants {
            failure::retrying("release pins", || self.unpin(tenant)).await?;
        }
        Ok(())
    }

    /// Reservations hold the tenant's row, so that none can be between its look at the pin and its container's row.
    async fn unpin(&self, tenant: Uuid) -> sqlx::Result<()> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(LOCK_TENANT).bind(tenant).execute(&mut *tx).await?;
        let blobs: Vec<Vec<String>> = sqlx::query_scalar(UNPIN).bind(tenant).fetch_all(&mut *tx).await?;
        sqlx::query(MARK).bind(blobs.concat()).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// For the thorough look, now and then: blobs that lost their last reference in a way that marks nothing (a tenant that
    /// was deleted).
    pub async fn mark_unreferenced(&self) -> Result<()> {
        let query = || sqlx::query_scalar(UNMARKED).fetch_all(&self.pool);
        let digests: Vec<String> = failure::retrying("find unreferenced blobs", query).await?;
        let query = || sqlx::query(MARK).bind(&digests).execute(&self.pool);
        failure::retrying("mark unreferenced blobs", query).await.map(|_| ())
    }

    /// Those that have no row: a crash left them in the store.
    pub async fn unknown_blobs(&self, digests: &[Digest]) -> Result<Vec<Digest>> {
        let texts: Vec<&str> = digests.iter().map(Digest::as_str).collect();
        let query = || sqlx::query_scalar(UNKNOWN).bind(&texts).fetch_all(&self.pool);
        parsed(failure::retrying("look for blobs' rows", query).await?)
    }
}

/// The size of a blob whose row is now deleted, in this transaction.
async fn condemned(db: &mut PgConnection, digest: &Digest, idle_for: Duration) -> sqlx::Result<Option<i64>> {
    let locked: Option<i64> =
        sqlx::query_scalar(LOCK).bind(digest.as_str()).bind(idle_for.as_secs_f64()).fetch_optional(&mut *db).await?;
    let Some(size_bytes) = locked else { return Ok(None) };
    // A statement of its own, after the lock: it sees every right that was committed before, and the foreign key keeps new
    // ones waiting.
    let used: bool = sqlx::query_scalar(USED).bind(digest.as_str()).fetch_one(&mut *db).await?;
    sqlx::query(if used { KEEP } else { DELETE }).bind(digest.as_str()).execute(&mut *db).await?;
    Ok((!used).then_some(size_bytes))
}

fn parsed(digests: Vec<String>) -> Result<Vec<Digest>> {
    digests.iter().map(|d| d.parse()).collect()
}
