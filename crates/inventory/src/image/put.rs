//! An image enters the catalogue: blobs, rights, row, digests and tags in one transaction, so that no half of it shows.
//!
//! The blobs are claimed ([`crate::Inventory::claim_blobs`]) and in the store before this is called; a crash in between leaves
//! blobs that nobody has a right to, which the collector finds.

use domain::{Error, Kind, Result, TenantId};
use sqlx::{PgConnection, types::Json};

use super::{NewImage, release::release};
use crate::{TenantView, failure};

const BUMP: &str = "UPDATE tenants SET revision = revision + 1 WHERE id = $1";
/// In the order of digests, so that two pulls of overlapping images never wait for each other in a circle.
const BLOBS: &str = "INSERT INTO blobs (digest, size_bytes, diff_id)
    SELECT b.digest, max(b.size_bytes), max(b.diff_id) FROM unnest($1::text[], $2::bigint[], $3::text[])
        AS b (digest, size_bytes, diff_id)
    GROUP BY b.digest ORDER BY b.digest
    ON CONFLICT (digest) DO UPDATE SET diff_id = coalesce(blobs.diff_id, excluded.diff_id)
    WHERE blobs.diff_id IS NULL AND excluded.diff_id IS NOT NULL";
const RIGHTS: &str = "INSERT INTO blob_rights (tenant_id, digest)
    SELECT DISTINCT $1::uuid, d FROM unnest($2::text[]) AS d ON CONFLICT DO NOTHING";
/// The same image may come again with other blobs (compressed otherwise): those of before are let go.
const OLD_LAYERS: &str = "SELECT ARRAY(SELECT layer->>'digest' FROM jsonb_array_elements(layers) AS layer)
    FROM images WHERE tenant_id = $1 AND id = $2";
const IMAGE: &str = "INSERT INTO images (tenant_id, id, config, layers, size_bytes, architecture, os, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (tenant_id, id) DO UPDATE SET layers = excluded.layers, size_bytes = excluded.size_bytes";
pub(super) const DIGESTS: &str =
    "INSERT INTO image_digests (tenant_id, repository, manifest_digest, image_id, manifest)
    SELECT $1, repository, digest, $2, manifest FROM unnest($3::text[], $4::text[], $5::bytea[])
        AS d (repository, digest, manifest)
    ON CONFLICT (tenant_id, repository, manifest_digest) DO UPDATE SET image_id = excluded.image_id";
pub(super) const TAGS: &str = "INSERT INTO image_tags (tenant_id, repository, tag, image_id)
    SELECT $1, repository, tag, $2 FROM unnest($3::text[], $4::text[]) AS t (repository, tag)
    ON CONFLICT (tenant_id, repository, tag) DO UPDATE SET image_id = excluded.image_id, tagged_at = now()";

impl TenantView {
    /// Idempotent. Tags that led elsewhere are moved.
    pub async fn put_image(&self, image: &NewImage) -> Result<()> {
        let found = failure::retrying("store an image", || self.try_put_image(image)).await?;
        if found { Ok(()) } else { Err(Error::not_found(Kind::Tenant, self.id.to_string())) }
    }

    async fn try_put_image(&self, image: &NewImage) -> sqlx::Result<bool> {
        let mut tx = self.pool.begin().await?;
        if sqlx::query(BUMP).bind(self.id.0).execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(false);
        }
        put_blobs(&mut tx, self.id, image).await?;
        let old: Option<Vec<String>> =
            sqlx::query_scalar(OLD_LAYERS).bind(self.id.0).bind(image.id.as_str()).fetch_optional(&mut *tx).await?;
        put_row(&mut tx, self.id, image).await?;
        let replaced = |digest: &String| !image.layers.iter().any(|l| l.digest.as_str() == digest);
        release(&mut tx, self.id, &old.into_iter().flatten().filter(replaced).collect::<Vec<_>>()).await?;
        put_names(&mut tx, self.id, image).await?;
        tx.commit().await?;
        Ok(true)
    }
}

async fn put_blobs(db: &mut PgConnection, tenant: TenantId, image: &NewImage) -> sqlx::Result<()> {
    let digests: Vec<&str> = image.blobs.iter().map(|(digest, _)| digest.as_str()).collect();
    let sizes: Vec<i64> = image.blobs.iter().map(|(_, size)| size.cast_signed()).collect();
    let diff_ids: Vec<Option<&str>> = image
        .blobs
        .iter()
        .map(|(digest, _)| image.layers.iter().find(|l| l.digest == *digest).map(|l| l.diff_id.as_str()))
        .collect();
    sqlx::query(BLOBS).bind(&digests).bind(sizes).bind(diff_ids).execute(&mut *db).await?;
    sqlx::query(RIGHTS).bind(tenant.0).bind(&digests).execute(&mut *db).await?;
    Ok(())
}

async fn put_row(db: &mut PgConnection, tenant: TenantId, image: &NewImage) -> sqlx::Result<()> {
    sqlx::query(IMAGE)
        .bind(tenant.0)
        .bind(image.id.as_str())
        .bind(&image.config)
        .bind(Json(&image.layers))
        .bind(image.size_bytes.cast_signed())
        .bind(&image.architecture)
        .bind(&image.os)
        .bind(image.created_at)
        .execute(&mut *db)
        .await
        .map(|_| ())
}

async fn put_names(db: &mut PgConnection, tenant: TenantId, image: &NewImage) -> sqlx::Result<()> {
    sqlx::query(DIGESTS)
        .bind(tenant.0)
        .bind(image.id.as_str())
        .bind(image.digests.iter().map(|(repository, _, _)| repository.as_str()).collect::<Vec<_>>())
        .bind(image.digests.iter().map(|(_, digest, _)| digest.as_str()).collect::<Vec<_>>())
        .bind(image.digests.iter().map(|(_, _, manifest)| manifest.as_slice()).collect::<Vec<_>>())
        .execute(&mut *db)
        .await?;
    sqlx::query(TAGS)
        .bind(tenant.0)
        .bind(image.id.as_str())
        .bind(image.tags.iter().map(|(repository, _)| repository.as_str()).collect::<Vec<_>>())
        .bind(image.tags.iter().map(|(_, tag)| tag.as_str()).collect::<Vec<_>>())
        .execute(&mut *db)
        .await
        .map(|_| ())
}
