//! `docker tag`, and the names that `docker rmi` takes away. `repository` is familiar everywhere (`busybox`).

use domain::{Digest, Error, Kind, Result};

use super::put::TAGS;
use crate::{
    TenantView, failure,
    sql::{image_labels, now_ns, tell_images},
};

const BUMP_IF_THERE: &str = "UPDATE tenants SET revision = revision + 1
    WHERE id = $1 AND EXISTS (SELECT FROM images WHERE tenant_id = $1 AND id = $2)";
const UNTAG: &str = concat!(
    "WITH t AS (
        UPDATE tenants SET revision = revision + 1 WHERE id = $1 RETURNING id
    ), gone AS (
        DELETE FROM image_tags g USING t WHERE g.tenant_id = t.id AND g.repository = $2 AND g.tag = $3
        RETURNING g.image_id
    ), told AS (",
    tell_images!("SELECT image_id, 'untag' AS action, 1 AS place FROM gone"),
    ")
    SELECT count(*) > 0 FROM gone"
);
const UNDIGEST: &str = concat!(
    "WITH t AS (
        UPDATE tenants SET revision = revision + 1 WHERE id = $1 RETURNING id
    ), gone AS (
        DELETE FROM image_digests d USING t WHERE d.tenant_id = t.id AND d.repository = $2 AND d.manifest_digest = $3
        RETURNING d.image_id
    ), told AS (",
    tell_images!("SELECT image_id, 'untag' AS action, 1 AS place FROM gone"),
    ")
    SELECT count(*) > 0 FROM gone"
);
const TOLD: &str = concat!(
    "INSERT INTO events (tenant_id, at_ns, type, action, actor, attributes)
    SELECT $1, ",
    now_ns!(),
    ", 'image', 'tag', i.id, ",
    image_labels!(),
    " || jsonb_build_object('name', $3::text) FROM images i WHERE i.tenant_id = $1 AND i.id = $2"
);

impl TenantView {
    /// Moves the tag if it led elsewhere.
    pub async fn tag(&self, id: &Digest, repository: &str, tag: &str) -> Result<()> {
        let found = failure::retrying("tag an image", || self.try_tag(id, repository, tag)).await?;
        if found { Ok(()) } else { Err(Error::not_found(Kind::Image, id.as_str())) }
    }

    async fn try_tag(&self, id: &Digest, repository: &str, tag: &str) -> sqlx::Result<bool> {
        let mut tx = self.pool.begin().await?;
        let bumped = sqlx::query(BUMP_IF_THERE).bind(self.id.0).bind(id.as_str()).execute(&mut *tx).await?;
        if bumped.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(TAGS)
            .bind(self.id.0)
            .bind(id.as_str())
            .bind(vec![repository])
            .bind(vec![tag])
            .execute(&mut *tx)
            .await?;
        let name = format!("{repository}:{tag}");
        sqlx::query(TOLD).bind(self.id.0).bind(id.as_str()).bind(name).execute(&mut *tx).await?;
        tx.commit().await?;
        self.bell.ring();
        Ok(true)
    }

    /// True if there was such a tag. The image stays.
    pub async fn untag(&self, repository: &str, tag: &str) -> Result<bool> {
        self.drop_name(UNTAG, repository, tag).await
    }

    /// True if there was such a digest. The image stays.
    pub async fn undigest(&self, repository: &str, manifest: &Digest) -> Result<bool> {
        self.drop_name(UNDIGEST, repository, manifest.as_str()).await
    }

    async fn drop_name(&self, statement: &'static str, repository: &str, name: &str) -> Result<bool> {
        let query = || sqlx::query_scalar(statement).bind(self.id.0).bind(repository).bind(name).fetch_one(&self.pool);
        let gone = failure::retrying("take a name from an image", query).await?;
        self.bell.ring();
        Ok(gone)
    }
}
