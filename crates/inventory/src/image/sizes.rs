//! What the layers of a tenant's images take: for shared sizes and `system df`.
//!
//! Unpacked, as everything that Docker shows of sizes; what is shared with other tenants counts for each of them, since
//! nobody may learn from a size what others have.

use std::collections::{HashMap, HashSet};

use domain::{Digest, Result};

use super::Image;
use crate::{TenantView, failure};

const SIZES: &str = "SELECT b.digest, coalesce(b.diff_bytes, b.size_bytes)
    FROM blob_rights r JOIN blobs b ON b.digest = r.digest WHERE r.tenant_id = $1";

/// Bytes of each layer that the tenant has a right to.
#[derive(Debug, Clone, Default)]
pub struct LayerSizes(HashMap<Digest, u64>);

/// How layers are spread over a tenant's images.
#[derive(Debug)]
pub struct LayerUses<'a> {
    sizes: &'a LayerSizes,
    images: HashMap<&'a Digest, usize>,
}

impl TenantView {
    /// One query.
    pub async fn layer_sizes(&self) -> Result<LayerSizes> {
        let query = || sqlx::query_as(SIZES).bind(self.id.0).fetch_all(&self.pool);
        let rows: Vec<(String, i64)> = failure::retrying("read the sizes of layers", query).await?;
        let pair = |(digest, bytes): (String, i64)| Ok((digest.parse()?, bytes.unsigned_abs()));
        Ok(LayerSizes(rows.into_iter().map(pair).collect::<Result<_>>()?))
    }
}

impl LayerSizes {
    /// `images`: all of the tenant's.
    pub fn uses<'a>(&'a self, images: &'a [Image]) -> LayerUses<'a> {
        let mut uses = HashMap::new();
        for image in images {
            for digest in image.layers.iter().map(|l| &l.digest).collect::<HashSet<_>>() {
                *uses.entry(digest).or_default() += 1;
            }
        }
        LayerUses { sizes: self, images: uses }
    }
}

impl LayerUses<'_> {
    /// Docker's `SharedSize`: bytes of the layers that another image of the tenant has as well.
    pub fn shared_bytes(&self, image: &Image) -> u64 {
        let shared = |digest: &&Digest| self.images.get(*digest).is_some_and(|images| *images > 1);
        image.layers.iter().map(|l| &l.digest).filter(shared).map(|d| self.bytes(d)).sum()
    }

    /// Docker's `LayersSize`: each layer once.
    pub fn total_bytes(&self) -> u64 {
        self.images.keys().map(|d| self.bytes(d)).sum()
    }

    fn bytes(&self, digest: &Digest) -> u64 {
        self.sizes.0.get(digest).copied().unwrap_or(0)
    }
}
