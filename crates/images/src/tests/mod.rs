//! Against a real registry (`docker-registry` on a free port of loopback) and a real inventory (`DATABASE_URL`).
//!
//! Each test has a tenant of its own in one database; that is what tenants are for.

mod archives;
mod catalogue;
mod collect;
mod fake;
mod pulls;
mod pushes;
mod registry;
mod rights;
mod trouble;

use std::{path::Path, sync::Arc};

use domain::{Digest, ImageRef, Result};
use inventory::{Inventory, TenantView};
use tokio::sync::mpsc;

use crate::{BlobStore, Images, Progress, Pulled, Registries, RegistryAuth, RegistrySettings};

/// Images over a store of their own.
pub(crate) struct World {
    pub(crate) images: Images,
    pub(crate) store: BlobStore,
    inventory: Inventory,
    _dir: Arc<tempfile::TempDir>,
}

impl World {
    pub(crate) async fn new(insecure: &[&str], mirrors: &[&str]) -> Self {
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL for tests");
        let inventory = Inventory::connect(&url, 4).await.expect("database");
        inventory.migrate().await.expect("migrations");
        let dir = tempfile::tempdir().expect("dir");
        let store = BlobStore::open(dir.path()).expect("store");
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        let settings = RegistrySettings { insecure: owned(insecure), mirrors: owned(mirrors), search_index: None };
        let registries = Registries::new(settings).expect("registries");
        let images = Images::new(inventory.clone(), store.clone(), registries);
        Self { images, store, inventory, _dir: Arc::new(dir) }
    }

    pub(crate) async fn tenant(&self) -> TenantView {
        let name = format!("t{}", &Digest::of(uuid::Uuid::new_v4().as_bytes()).hex()[..16]);
        let record = self.inventory.create_tenant(&name, "172.16.0.0/12".parse().expect("pool")).await.expect("tenant");
        self.inventory.tenant(record.id)
    }

    pub(crate) async fn pull(&self, tenant: &TenantView, name: &str) -> Result<(Pulled, Vec<String>)> {
        self.pull_as(tenant, name, None).await
    }

    /// The lines as `id: text`, without byte counts.
    pub(crate) async fn pull_as(
        &self,
        tenant: &TenantView,
        name: &str,
        auth: Option<RegistryAuth>,
    ) -> Result<(Pulled, Vec<String>)> {
        let (sender, lines) = mpsc::channel(1000);
        let pulled = self.images.pull(tenant, &reference(name), None, auth, sender).await?;
        Ok((pulled, said(lines).await))
    }
}

pub(crate) fn reference(name: &str) -> ImageRef {
    name.parse().expect(name)
}

pub(crate) async fn said(mut lines: mpsc::Receiver<Progress>) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(line) = lines.recv().await {
        match line {
            Progress::Status { id: Some(id), text } => said.push(format!("{id}: {text}")),
            Progress::Status { id: None, text } => said.push(text),
            Progress::Bytes { .. } | Progress::Pushed { .. } => {}
        }
    }
    said
}

/// A tar with one file.
pub(crate) fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, Path::new(name), content).expect("tar");
    builder.into_inner().expect("tar")
}

/// Bytes that do not compress, always the same for one seed.
pub(crate) fn noise(seed: &str, size: usize) -> Vec<u8> {
    let blocks = (0..size.div_ceil(64)).map(|n| Digest::of(format!("{seed}{n}").as_bytes()).hex().to_owned());
    blocks.collect::<String>().into_bytes()[..size].to_vec()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}
