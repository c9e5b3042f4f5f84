//! What a host must know of an image to run it.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// One layer: the blob in the store and the tar that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Of the blob as stored (compressed or not).
    pub digest: Digest,
    /// Of the uncompressed tar.
    pub diff_id: Digest,
    /// Bytes of the blob as stored.
    pub size_bytes: u64,
    /// OCI or Docker media type of the blob.
    pub media_type: String,
}

/// Layers from the bottom up. Empty for `FROM scratch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRootfs {
    /// Digest of the image's config: Docker's image id.
    pub image_id: Digest,
    pub layers: Vec<Layer>,
}

impl ImageRootfs {
    /// OCI chain ids, one for each layer from the bottom up: `chain(0) = diff(0)`, `chain(n) = sha256(chain(n-1) " " diff(n))`.
    pub fn chain_ids(&self) -> Vec<Digest> {
        let mut chain: Option<Digest> = None;
        self.layers
            .iter()
            .map(|layer| {
                let next = match &chain {
                    None => layer.diff_id.clone(),
                    Some(parent) => Digest::of(format!("{parent} {}", layer.diff_id).as_bytes()),
                };
                chain = Some(next.clone());
                next
            })
            .collect()
    }
}
