//! What `images` shows, and the row that every look-up of an image reads.

use chrono::{DateTime, Utc};
use domain::{Digest, Error, Layer, Result};
use sqlx::types::Json;

use super::Image;
use crate::{TenantView, failure, sql::image_columns};

#[derive(sqlx::FromRow)]
pub(super) struct ImageRow {
    id: String,
    config: Vec<u8>,
    layers: Json<Vec<Layer>>,
    size_bytes: i64,
    architecture: String,
    os: String,
    created_at: Option<DateTime<Utc>>,
    stored_at: DateTime<Utc>,
    tags: Option<Json<Vec<(String, String)>>>,
    tagged_at: Option<DateTime<Utc>>,
    digests: Option<Json<Vec<(String, Digest)>>>,
    containers: i64,
}

impl TryFrom<ImageRow> for Image {
    type Error = Error;
    fn try_from(row: ImageRow) -> Result<Self> {
        Ok(Self {
            id: row.id.parse().map_err(|cause| Error::because("read an image's row", cause))?,
            config: row.config,
            layers: row.layers.0,
            size_bytes: row.size_bytes.unsigned_abs(),
            architecture: row.architecture,
            os: row.os,
            created_at: row.created_at,
            stored_at: row.stored_at,
            tags: row.tags.map(|t| t.0).unwrap_or_default(),
            tagged_at: row.tagged_at,
            digests: row.digests.map(|d| d.0).unwrap_or_default(),
            containers: row.containers,
        })
    }
}

const ALL: &str = concat!(
    "SELECT ",
    image_columns!(),
    " FROM images i WHERE i.tenant_id = $1 ORDER BY i.created_at DESC NULLS LAST, i.id"
);

impl TenantView {
    /// Newest first, with tags, digests and the number of containers, in one query.
    pub async fn images(&self) -> Result<Vec<Image>> {
        let query = || sqlx::query_as(ALL).bind(self.id.0).fetch_all(&self.pool);
        let rows: Vec<ImageRow> = failure::retrying("list images", query).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}
