//! Results of build steps, by parent and key. Nothing of another tenant is ever found: its rows are another space.

use chrono::{DateTime, Utc};
use domain::{Digest, Error, Kind, Layer, Result};
use sqlx::types::Json;

use crate::{TenantView, failure, image::release};

/// What a step gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedStep {
    /// Digest of `config`.
    pub image_id: Digest,
    pub config: Vec<u8>,
    /// From the bottom up.
    pub layers: Vec<Layer>,
}

#[derive(Debug, Clone)]
pub struct NewStep<'a> {
    /// None: `FROM scratch`.
    pub parent: Option<&'a Digest>,
    pub key: &'a Digest,
    pub result: CachedStep,
    /// The instruction, as the history shows it.
    pub description: &'a str,
    /// Of the layer that it added, as stored.
    pub size_bytes: u64,
}

/// One entry of the cache, for `system df` and `prune`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStep {
    pub key: Digest,
    /// The image before the step.
    pub parent: Option<Digest>,
    pub description: String,
    pub size_bytes: u64,
    pub uses: u64,
    pub created_at: DateTime<Utc>,
    pub used_at: Option<DateTime<Utc>>,
}

/// A layer without a right is one that went with its last image.
const FIND: &str = "UPDATE build_steps s SET uses = uses + 1, used_at = now()
    WHERE s.tenant_id = $1 AND s.parent_id = $2 AND s.key = $3 AND NOT EXISTS (
        SELECT FROM jsonb_array_elements(s.layers) AS layer WHERE NOT EXISTS (
            SELECT FROM blob_rights r WHERE r.tenant_id = $1 AND r.digest = layer->>'digest'))
    RETURNING image_id, config, layers";
const LOCK_TENANT: &str = "SELECT true FROM tenants WHERE id = $1 FOR NO KEY UPDATE";
const RIGHTS: &str = "INSERT INTO blob_rights (tenant_id, digest)
    SELECT DISTINCT $1::uuid, d FROM unnest($2::text[]) AS d ON CONFLICT DO NOTHING";
const PUT: &str = "INSERT INTO build_steps
        (tenant_id, parent_id, key, image_id, config, layers, description, size_bytes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (tenant_id, parent_id, key) DO UPDATE SET image_id = excluded.image_id, config = excluded.config,
        layers = excluded.layers, size_bytes = excluded.size_bytes, created_at = now()";
const LIST: &str = "SELECT key, parent_id, description, size_bytes, uses, created_at, used_at
    FROM build_steps WHERE tenant_id = $1 ORDER BY created_at, key";
const PRUNE: &str = "DELETE FROM build_steps
    WHERE tenant_id = $1 AND ($2::timestamptz IS NULL OR coalesce(used_at, created_at) < $2)
    RETURNING key, ARRAY(SELECT layer->>'digest' FROM jsonb_array_elements(layers) AS layer)";
/// Of a pruned entry, what an entry that stays needs too.
const STILL_CACHED: &str = "SELECT DISTINCT layer->>'digest'
    FROM build_steps s, jsonb_array_elements(s.layers) AS layer WHERE s.tenant_id = $1";

impl TenantView {
    /// Counts as a use.
    pub async fn cached_step(&self, parent: Option<&Digest>, key: &Digest) -> Result<Option<CachedStep>> {
        let query = || {
            sqlx::query_as(FIND)
                .bind(self.id.0)
                .bind(parent.map_or("", Digest::as_str))
                .bind(key.as_str())
                .fetch_optional(&self.pool)
        };
        let row: Option<(String, Vec<u8>, Json<Vec<Layer>>)> = failure::retrying("find a build step", query).await?;
        row.map(|(id, config, Json(layers))| Ok(CachedStep { image_id: id.parse()?, config, layers })).transpose()
    }

    /// The layers are in the store, and claimed; the tenant gets its right to them.
    pub async fn put_step(&self, step: &NewStep<'_>) -> Result<()> {
        let found = failure::retrying("store a build step", || self.try_put_step(step)).await?;
        if found { Ok(()) } else { Err(Error::not_found(Kind::Tenant, self.id.to_string())) }
    }

    async fn try_put_step(&self, step: &NewStep<'_>) -> sqlx::Result<bool> {
        let mut tx = self.pool.begin().await?;
        let known: Option<bool> = sqlx::query_scalar(LOCK_TENANT).bind(self.id.0).fetch_optional(&mut *tx).await?;
        if known.is_none() {
            return Ok(false);
        }
        let result = &step.result;
        let digests: Vec<&str> = result.layers.iter().map(|layer| layer.digest.as_str()).collect();
        sqlx::query(RIGHTS).bind(self.id.0).bind(&digests).execute(&mut *tx).await?;
        sqlx::query(PUT)
            .bind(self.id.0)
            .bind(step.parent.map_or("", Digest::as_str))
            .bind(step.key.as_str())
            .bind(result.image_id.as_str())
            .bind(&result.config)
            .bind(Json(&result.layers))
            .bind(step.description)
            .bind(step.size_bytes.cast_signed())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Oldest first.
    pub async fn build_steps(&self) -> Result<Vec<BuildStep>> {
        type Row = (String, String, String, i64, i64, DateTime<Utc>, Option<DateTime<Utc>>);
        let query = || sqlx::query_as(LIST).bind(self.id.0).fetch_all(&self.pool);
        let rows: Vec<Row> = failure::retrying("list build steps", query).await?;
        rows.into_iter()
            .map(|(key, parent, description, size, uses, created_at, used_at)| {
                Ok(BuildStep {
                    key: key.parse()?,
                    parent: if parent.is_empty() { None } else { Some(parent.parse()?) },
                    description,
                    size_bytes: size.unsigned_abs(),
                    uses: uses.unsigned_abs(),
                    created_at,
                    used_at,
                })
            })
            .collect()
    }

    /// Forgets entries that were last used before `until`, or all: their keys, and the bytes that nothing of the tenant
    /// uses now.
    pub async fn prune_steps(&self, until: Option<DateTime<Utc>>) -> Result<(Vec<Digest>, u64)> {
        let (keys, bytes) = failure::retrying("prune build steps", || self.try_prune_steps(until)).await?;
        let keys = keys.iter().map(|key| key.parse()).collect::<Result<_>>()?;
        Ok((keys, bytes))
    }

    async fn try_prune_steps(&self, until: Option<DateTime<Utc>>) -> sqlx::Result<(Vec<String>, u64)> {
        let mut tx = self.pool.begin().await?;
        let _: Option<bool> = sqlx::query_scalar(LOCK_TENANT).bind(self.id.0).fetch_optional(&mut *tx).await?;
        let gone: Vec<(String, Vec<String>)> =
            sqlx::query_as(PRUNE).bind(self.id.0).bind(until).fetch_all(&mut *tx).await?;
        let kept: Vec<String> = sqlx::query_scalar(STILL_CACHED).bind(self.id.0).fetch_all(&mut *tx).await?;
        let loose: Vec<String> = gone.iter().flat_map(|(_, l)| l).filter(|d| !kept.contains(d)).cloned().collect();
        let released = release(&mut tx, self.id, &loose).await?;
        let bytes = released.iter().filter(|r| !r.pinned).map(|r| r.bytes.unsigned_abs()).sum();
        tx.commit().await?;
        Ok((gone.into_iter().map(|(key, _)| key).collect(), bytes))
    }
}
