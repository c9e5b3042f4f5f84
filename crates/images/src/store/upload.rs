//! One blob on its way into the store: hashed while it is written, visible when it is committed.
//!
//! Before it becomes visible it is claimed in the inventory, so that the collector lets it be until it has an owner.
//! Dropping an upload forgets it. Parts are written one after the other: memory holds one of them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use domain::{Digest, Error, Result};
use inventory::{BlobClaim, Inventory};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, path::Path};
use sha2::{Digest as _, Sha256};

use super::{blob_path, unavailable};
use crate::layer::Inspection;

/// S3 takes no smaller part than 5 MiB.
const PART_BYTES: usize = 5 << 20;

pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    ledger: Option<Inventory>,
    place: Path,
    parts: Box<dyn MultipartUpload>,
    pending: BytesMut,
    hash: Sha256,
    written_bytes: u64,
}

impl Upload {
    pub(crate) async fn start(store: Arc<dyn ObjectStore>, ledger: Option<Inventory>) -> Result<Self> {
        let place = Path::from_iter(["uploads", &uuid::Uuid::new_v4().to_string()]);
        let parts = store.put_multipart(&place).await.map_err(unavailable)?;
        Ok(Self { store, ledger, place, parts, pending: BytesMut::new(), hash: Sha256::new(), written_bytes: 0 })
    }

    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.hash.update(&bytes);
        self.written_bytes += bytes.len() as u64;
        self.pending.extend_from_slice(&bytes);
        if self.pending.len() >= PART_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let part = self.pending.split().freeze();
        self.parts.put_part(part.into()).await.map_err(unavailable)
    }

    /// Digest and size; the blob is in the store when this returns. With `expected` it fails unless they are met.
    /// `layer`: what is known of it, if it is one.
    pub(crate) async fn commit(
        mut self,
        expected: Option<(&Digest, u64)>,
        layer: Option<&Inspection>,
    ) -> Result<(Digest, u64)> {
        let hash: [u8; 32] = self.hash.clone().finalize().into();
        let digest = Digest::from_sha256(&hash);
        if let Some((wanted, size_bytes)) = expected
            && (*wanted != digest || size_bytes != self.written_bytes)
        {
            let _ = self.parts.abort().await;
            return Err(Error::invalid(format!("filesystem layer verification failed for digest {wanted}")));
        }
        if !self.pending.is_empty() || self.written_bytes == 0 {
            self.flush().await?;
        }
        // Claimed while the parts are still ours to drop.
        self.claim(&digest, layer).await?;
        self.parts.complete().await.map_err(unavailable)?;
        self.store.rename(&self.place, &blob_path(&digest)).await.map_err(unavailable)?;
        Ok((digest, self.written_bytes))
    }

    async fn claim(&mut self, digest: &Digest, layer: Option<&Inspection>) -> Result<()> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let diff = layer.map(|l| (l.diff_id.clone(), l.diff_bytes));
        ledger.claim_blobs(&[BlobClaim { digest: digest.clone(), size_bytes: self.written_bytes, diff }]).await
    }
}
