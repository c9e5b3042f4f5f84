//! The blob store: bytes by digest, written once for all tenants. A local directory by default; any `object_store` works.
//!
//! It knows nothing of tenants. Who may see what is in the inventory, and a blob that is here gives nobody a right.
//! A blob is visible only when its digest was verified: uploads have names of their own and are renamed at the end.

mod upload;

use std::{
    path::{Path as FsPath, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use domain::{Digest, Error, Kind, Result};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use inventory::Inventory;
use object_store::{ObjectStore, ObjectStoreExt as _, local::LocalFileSystem, path::Path};

pub(crate) use upload::Upload;

use crate::{layer::Inspection, push::Wire};

/// What a crash left behind is removed once nobody has written to it for so long: a body or a registry that stands still is
/// cut much earlier.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

#[derive(Clone)]
pub struct BlobStore {
    store: Arc<dyn ObjectStore>,
    /// Local scratch space, for archives that must be read twice.
    spool: PathBuf,
    /// Where blobs are claimed before they become visible; without one, nobody collects.
    ledger: Option<Inventory>,
}

impl BlobStore {
    /// A local directory, made where it is missing. Several processes may share it.
    pub fn open(dir: &FsPath) -> Result<Self> {
        let spool = dir.join("spool");
        let failed = |e| Error::because(format!("opening the blob store {}", dir.display()), e);
        for name in ["blobs", "facts", "origins", "spool", "uploads"] {
            std::fs::create_dir_all(dir.join(name)).map_err(failed)?;
        }
        sweep(&dir.join("uploads"));
        sweep(&spool);
        let local = LocalFileSystem::new_with_prefix(dir).map_err(|e| Error::because("opening the blob store", e))?;
        // The inventory says that a blob is here, durably; so it must be.
        Ok(Self { store: Arc::new(local.with_fsync(true)), spool, ledger: None })
    }

    /// The store that `inventory` speaks of.
    pub fn with_ledger(self, inventory: Inventory) -> Self {
        Self { ledger: Some(inventory), ..self }
    }

    pub(crate) fn spool(&self) -> &FsPath {
        &self.spool
    }

    /// Stores a stream under its digest; nothing is visible unless digest and size are as expected.
    pub async fn put_stream<S>(&self, digest: &Digest, size_bytes: u64, stream: S) -> Result<()>
    where
        S: Stream<Item = Result<Bytes>> + Send,
    {
        let mut upload = self.upload().await?;
        let mut stream = std::pin::pin!(stream);
        while let Some(chunk) = stream.next().await {
            upload.write(chunk?).await?;
        }
        upload.commit(Some((digest, size_bytes)), None).await.map(drop)
    }

    pub(crate) async fn upload(&self) -> Result<Upload> {
        Upload::start(Arc::clone(&self.store), self.ledger.clone()).await
    }

    /// Streams a blob; `NotFound` where it is missing.
    pub async fn read(&self, digest: &Digest) -> Result<BoxStream<'static, Result<Bytes>>> {
        let found = self.store.get(&blob_path(digest)).await.map_err(|e| failed(e, digest))?;
        let digest = digest.clone();
        Ok(found.into_stream().map_err(move |e| failed(e, &digest)).boxed())
    }

    /// A whole blob of at most `cap_bytes`.
    pub async fn read_all(&self, digest: &Digest, cap_bytes: u64) -> Result<Bytes> {
        let found = self.store.get(&blob_path(digest)).await.map_err(|e| failed(e, digest))?;
        if found.meta.size > cap_bytes {
            return Err(Error::invalid(format!("blob {digest} is larger than {cap_bytes} bytes")));
        }
        found.bytes().await.map_err(|e| failed(e, digest))
    }

    pub async fn has(&self, digest: &Digest) -> Result<bool> {
        Ok(self.size(digest).await?.is_some())
    }

    /// Bytes of a stored blob.
    pub async fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.store.head(&blob_path(digest)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed(e, digest)),
        }
    }

    /// The blob, and what is known of it. Idempotent.
    pub async fn delete(&self, digest: &Digest) -> Result<()> {
        let origins: Vec<Path> = self
            .store
            .list(Some(&Path::from_iter(["origins", digest.hex()])))
            .map_ok(|found| found.location)
            .try_collect()
            .await
            .map_err(|e| failed(e, digest))?;
        // The blob last: while it is there, somebody will come to delete it again.
        for path in origins.iter().chain(&[facts_path(digest), gzip_path(digest), blob_path(digest)]) {
            match self.store.delete(path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(failed(e, digest)),
            }
        }
        Ok(())
    }

    /// Every blob with its bytes, in no order.
    pub(crate) fn list(&self) -> BoxStream<'static, Result<(Digest, u64)>> {
        let blobs = self.store.list(Some(&Path::from_iter(["blobs", "sha256"])));
        blobs
            .map_err(unavailable)
            .try_filter_map(|found| async move {
                let digest = found.location.filename().and_then(|hex| format!("sha256:{hex}").parse().ok());
                Ok(digest.map(|digest| (digest, found.size)))
            })
            .boxed()
    }

    /// What crashes left of uploads.
    pub(crate) fn sweep(&self) {
        if let Some(root) = self.spool.parent() {
            sweep(&root.join("uploads"));
        }
        sweep(&self.spool);
    }

    /// Remembers that `registry` gave us this blob.
    pub(crate) async fn note_origin(&self, digest: &Digest, registry: &str) -> Result<()> {
        let noted = self.store.put(&origin_path(digest, registry), Bytes::new().into()).await;
        noted.map(drop).map_err(|e| failed(e, digest))
    }

    /// What reading a layer taught, so that nobody has to read it again.
    pub(crate) async fn note_facts(&self, digest: &Digest, facts: &Inspection) -> Result<()> {
        let json = serde_json::to_vec(facts).map_err(|e| Error::because("encoding a layer's facts", e))?;
        self.store.put(&facts_path(digest), json.into()).await.map(drop).map_err(|e| failed(e, digest))
    }

    pub(crate) async fn facts(&self, digest: &Digest) -> Result<Option<Inspection>> {
        let json = match self.store.get(&facts_path(digest)).await {
            Ok(found) => found.bytes().await.map_err(|e| failed(e, digest))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failed(e, digest)),
        };
        Ok(serde_json::from_slice(&json).ok())
    }

    /// What the gzip of a layer turned out to be that is stored otherwise.
    pub(crate) async fn note_gzip(&self, digest: &Digest, gzip: &Wire) -> Result<()> {
        let json = serde_json::to_vec(gzip).map_err(|e| Error::because("encoding a layer's gzip", e))?;
        self.store.put(&gzip_path(digest), json.into()).await.map(drop).map_err(|e| failed(e, digest))
    }

    pub(crate) async fn gzip_of(&self, digest: &Digest) -> Result<Option<Wire>> {
        let json = match self.store.get(&gzip_path(digest)).await {
            Ok(found) => found.bytes().await.map_err(|e| failed(e, digest))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failed(e, digest)),
        };
        Ok(serde_json::from_slice(&json).ok())
    }

    pub(crate) async fn came_from(&self, digest: &Digest, registry: &str) -> Result<bool> {
        match self.store.head(&origin_path(digest, registry)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(failed(e, digest)),
        }
    }
}

fn blob_path(digest: &Digest) -> Path {
    Path::from_iter(["blobs", "sha256", digest.hex()])
}

fn origin_path(digest: &Digest, registry: &str) -> Path {
    Path::from_iter(["origins", digest.hex(), registry])
}

fn facts_path(digest: &Digest) -> Path {
    Path::from_iter(["facts", digest.hex()])
}

fn gzip_path(digest: &Digest) -> Path {
    Path::from_iter(["gzips", digest.hex()])
}

fn failed(error: object_store::Error, digest: &Digest) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::not_found(Kind::Blob, digest.as_str()),
        error => unavailable(error),
    }
}

/// A full disk is said as dockerd says it; what else the store tells is for the operator.
pub(crate) fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = at {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
            return Error::unavailable_because("write to the image store: no space left on device", error);
        }
        at = cause.source();
    }
    Error::unavailable_because("the image store is not available", error)
}

/// Best effort: what cannot be removed now is found again.
fn sweep(dir: &FsPath) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if age.is_some_and(|age| age > LEFTOVER_AGE) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once(bytes: &'static [u8]) -> impl Stream<Item = Result<Bytes>> {
        futures::stream::iter([Ok(Bytes::from_static(bytes))])
    }

    #[tokio::test]
    async fn only_verified_blobs_become_visible() {
        let dir = tempfile::tempdir().expect("dir");
        let store = BlobStore::open(dir.path()).expect("store");
        let digest = Digest::of(b"hello");
        assert!(store.put_stream(&digest, 5, once(b"hullo")).await.is_err());
        assert!(store.put_stream(&digest, 4, once(b"hello")).await.is_err());
        assert!(!store.has(&digest).await.expect("has"));
        store.put_stream(&digest, 5, once(b"hello")).await.expect("put");
        assert_eq!(store.read_all(&digest, 10).await.expect("read").as_ref(), b"hello");
        assert!(store.read_all(&digest, 4).await.is_err());
        store.delete(&digest).await.expect("delete");
        store.delete(&digest).await.expect("again");
        assert!(matches!(store.read(&digest).await.err(), Some(Error::NotFound { .. })));
    }

    #[tokio::test]
    async fn origins_are_kept_by_registry() {
        let dir = tempfile::tempdir().expect("dir");
        let store = BlobStore::open(dir.path()).expect("store");
        let digest = Digest::of(b"x");
        store.note_origin(&digest, "127.0.0.1:5000").await.expect("note");
        assert!(store.came_from(&digest, "127.0.0.1:5000").await.expect("asked"));
        assert!(!store.came_from(&digest, "evil.example").await.expect("asked"));
    }
}
