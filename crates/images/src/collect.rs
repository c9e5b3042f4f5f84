//! Garbage collection: blobs that nobody refers to leave the store, while everything else goes on.
//!
//! The inventory says what is idle and holds off whoever wants the blob while it is deleted (see `inventory`'s `collect`);
//! here is the store's side. Who relies on a blob that was there before claims it and looks again: [`Images::secure`].

use std::time::{Duration, Instant};

use domain::{Digest, Layer, Result};
use futures::StreamExt as _;
use inventory::BlobClaim;

use crate::{Images, store::BlobStore};

/// Blobs of one question.
const BATCH: usize = 500;

/// What a round of the collector deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    pub blobs: u64,
    /// As stored.
    pub bytes: u64,
}

impl Images {
    /// Deletes what nothing has referred to for `grace`; ends when there is nothing left, or after `budget`. Any number may
    /// run at once; one is enough.
    pub async fn collect(&self, grace: Duration, budget: Duration) -> Result<Collected> {
        let (began, mut collected) = (Instant::now(), Collected::default());
        self.inventory.release_pins().await?;
        loop {
            let idle = self.inventory.idle_blobs(grace, BATCH as i64).await?;
            for digest in &idle {
                if let Some(bytes) = self.inventory.collect_blob(digest, grace, self.store.delete(digest)).await? {
                    collected.blobs += 1;
                    collected.bytes += bytes;
                }
                if began.elapsed() > budget {
                    return Ok(collected);
                }
            }
            if idle.len() < BATCH {
                return Ok(collected);
            }
        }
    }

    /// The thorough look: what is in the store and in no row (a crash), what lost its references unseen. It deletes nothing:
    /// what it finds is idle from now on.
    pub async fn find_strays(&self) -> Result<()> {
        self.store.sweep();
        self.inventory.mark_unreferenced().await?;
        let mut stored = self.store.list().chunks(BATCH);
        while let Some(batch) = stored.next().await {
            let batch: Vec<(Digest, u64)> = batch.into_iter().collect::<Result<_>>()?;
            let digests: Vec<Digest> = batch.iter().map(|(digest, _)| digest.clone()).collect();
            let unknown = self.inventory.unknown_blobs(&digests).await?;
            let strays = batch.into_iter().filter(|(digest, _)| unknown.contains(digest));
            let claims: Vec<BlobClaim> =
                strays.map(|(digest, size_bytes)| BlobClaim { digest, size_bytes, diff: None }).collect();
            self.inventory.claim_blobs(&claims).await?;
        }
        Ok(())
    }

    /// Claims the layers of an image that is about to be put, then looks: true if the store has them all. From then on they
    /// stay for the grace period at least.
    pub(crate) async fn secure(&self, layers: &[Layer]) -> Result<bool> {
        let claim = |l: &Layer| BlobClaim { digest: l.digest.clone(), size_bytes: l.size_bytes, diff: None };
        self.inventory.claim_blobs(&layers.iter().map(claim).collect::<Vec<_>>()).await?;
        all_stored(&self.store, layers).await
    }
}

pub(crate) async fn all_stored(store: &BlobStore, layers: &[Layer]) -> Result<bool> {
    for layer in layers {
        if store.size(&layer.digest).await? != Some(layer.size_bytes) {
            return Ok(false);
        }
    }
    Ok(true)
}
