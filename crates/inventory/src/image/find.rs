//! Look-up of one image by what a tenant wrote: `name[:tag]`, `name@digest`, an id, or the beginning of one.
//!
//! A name wins over an id's prefix (`docker run cafe` means the repository), a full id over both. One round trip.

use domain::{Digest, Error, ImageRef, Kind, Result};

use super::{Image, list::ImageRow};
use crate::{TenantView, container::prefix_range, failure, sql::image_columns};

const BY_REFERENCE: &str = concat!(
    "WITH hit AS MATERIALIZED (
        SELECT image_id, 0 AS rank FROM image_tags WHERE tenant_id = $1 AND repository = $2 AND tag = $3
        UNION
        SELECT image_id, 0 FROM image_digests WHERE tenant_id = $1 AND repository = $2 AND manifest_digest = $4
        UNION
        (SELECT id, 1 FROM images WHERE tenant_id = $1 AND id ~>=~ $5 AND id ~<~ $6 LIMIT 2)
    ) SELECT ",
    image_columns!(),
    " FROM hit JOIN images i ON i.tenant_id = $1 AND i.id = hit.image_id
    WHERE hit.rank = (SELECT min(rank) FROM hit)"
);

/// What a reference may mean; empty texts match nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Meaning {
    repository: String,
    tag: String,
    manifest_digest: String,
    id_from: String,
    id_below: String,
    /// For "No such image".
    shown: String,
}

impl TenantView {
    /// A prefix that fits several images is `NotFound`, as in dockerd.
    pub async fn image(&self, reference: &str) -> Result<Image> {
        let meaning = Meaning::of(reference)?;
        let query = || {
            sqlx::query_as(BY_REFERENCE)
                .bind(self.id.0)
                .bind(&meaning.repository)
                .bind(&meaning.tag)
                .bind(&meaning.manifest_digest)
                .bind(&meaning.id_from)
                .bind(&meaning.id_below)
                .fetch_all(&self.pool)
        };
        let mut rows: Vec<ImageRow> = failure::retrying("find an image", query).await?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => row.try_into(),
            _ => Err(Error::not_found(Kind::Image, meaning.shown)),
        }
    }
}

impl Meaning {
    fn of(reference: &str) -> Result<Self> {
        if let Some(id) = full_id(reference) {
            let (id_from, id_below) = id_range(id.hex());
            return Ok(Self { id_from, id_below, shown: id.to_string(), ..Self::default() });
        }
        if let Some(prefix) = reference.strip_prefix("sha256:") {
            let (id_from, id_below) = id_range(prefix);
            return Ok(Self { id_from, id_below, shown: reference.to_owned(), ..Self::default() });
        }
        let parsed = reference.parse::<ImageRef>()?.with_default_tag();
        let (id_from, id_below) = id_range(reference);
        Ok(Self {
            repository: parsed.familiar_name(),
            // A digest is more exact than the tag beside it.
            tag: if parsed.digest().is_some() { String::new() } else { parsed.tag().unwrap_or_default().to_owned() },
            manifest_digest: parsed.digest().map(Digest::to_string).unwrap_or_default(),
            id_from,
            id_below,
            shown: parsed.to_string(),
        })
    }
}

/// With and without the algorithm's name.
fn full_id(reference: &str) -> Option<Digest> {
    let hex = reference.strip_prefix("sha256:").unwrap_or(reference);
    format!("sha256:{hex}").parse().ok()
}

fn id_range(prefix: &str) -> (String, String) {
    match prefix_range(prefix) {
        (from, _) if from.is_empty() => (String::new(), String::new()),
        (from, below) => (format!("sha256:{from}"), format!("sha256:{below}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_found_is_shown_as_dockerd_shows_it() {
        let hex = "ab".repeat(32);
        for (given, shown) in [
            ("busybox", "busybox:latest".to_owned()),
            ("busybox:1.36", "busybox:1.36".to_owned()),
            ("docker.io/library/busybox", "busybox:latest".to_owned()),
            (hex.as_str(), format!("sha256:{hex}")),
            ("abcdef", "abcdef:latest".to_owned()),
        ] {
            assert_eq!(Meaning::of(given).unwrap().shown, shown);
        }
    }
}
