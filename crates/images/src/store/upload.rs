//! One blob on its way into the store: hashed while it is written, visible when it is committed.
//!
//! Dropping an upload forgets it. Parts are written one after the other: memory holds one of them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use domain::{Digest, Error, Result};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, path::Path};
use sha2::{Digest as _, Sha256};

use super::{blob_path, unavailable};

/// S3 takes no smaller part than 5 MiB.
const PART_BYTES: usize = 5 << 20;

pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    place: Path,
    parts: Box<dyn MultipartUpload>,
    pending: BytesMut,
    hash: Sha256,
    written_bytes: u64,
}

impl Upload {
    pub(crate) async fn start(store: Arc<dyn ObjectStore>) -> Result<Self> {
        let place = Path::from_iter(["uploads", &uuid::Uuid::new_v4().to_string()]);
        let parts = store.put_multipart(&place).await.map_err(unavailable)?;
        Ok(Self { store, place, parts, pending: BytesMut::new(), hash: Sha256::new(), written_bytes: 0 })
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
    pub(crate) async fn commit(mut self, expected: Option<(&Digest, u64)>) -> Result<(Digest, u64)> {
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
        self.parts.complete().await.map_err(unavailable)?;
        self.store.rename(&self.place, &blob_path(&digest)).await.map_err(unavailable)?;
        Ok((digest, self.written_bytes))
    }
}
