//! `docker load`: archives in `docker save`'s format and in OCI's layout, and what both share.
//!
//! Policy I05: the archive's own files and nothing else; what it says of itself (digests, diff ids) is checked, and the
//! tenant gets a right to what it uploaded, by having uploaded it.

mod docker;
mod oci;
mod spool;

use std::collections::HashMap;

use domain::{Digest, Error, ImageRef, Layer, Result};
use inventory::{NewImage, TenantView};
use tokio::{io::AsyncRead, sync::mpsc};

use crate::{
    Images,
    config::Config,
    layer::{self, Received},
    platform::Platform,
    progress::{Progress, Reporter},
    pull,
    store::BlobStore,
};
use spool::{Place, Spool};

/// A name that was loaded, or an image without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub id: Digest,
    pub reference: Option<ImageRef>,
}

impl Images {
    /// Images become visible when all of them are sound. `Invalid` says what is wrong with the archive. Of an image that is
    /// there for several platforms, the one for `platform` is taken, by default the hosts'; with `platform`, images of
    /// others are left out, and an archive that has none for it is `Missing`.
    pub async fn load(
        &self,
        tenant: &TenantView,
        from: impl AsyncRead + Send + Unpin,
        platform: Option<Platform>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Vec<Loaded>> {
        let spool = Spool::fill(self.store.spool(), from).await?;
        let mut unloading = Unloading {
            spool,
            store: &self.store,
            platform,
            reporter: Reporter::new(progress),
            received: HashMap::new(),
        };
        // docker save writes both; its own index has the names as the user gave them.
        let images = if unloading.spool.find(docker::INDEX).is_some() {
            docker::read(&mut unloading).await?
        } else if unloading.spool.find(oci::INDEX).is_some() {
            oci::read(&mut unloading).await?
        } else {
            return Err(spool::missing(docker::INDEX));
        };
        if let (true, Some(platform)) = (images.is_empty(), &unloading.platform) {
            return Err(pull::no_match(platform));
        }
        let mut loaded = Vec::new();
        for (image, references) in images {
            if !self.secure(&image.layers).await? {
                return Err(Error::unavailable("the archive's layers do not stay in the store, try again"));
            }
            tenant.put_image(&image).await?;
            let id = image.id;
            loaded.extend(references.iter().map(|r| Loaded { id: id.clone(), reference: Some(r.clone()) }));
            if references.is_empty() {
                loaded.push(Loaded { id, reference: None });
            }
        }
        Ok(loaded)
    }
}

/// How many entries an upload's index has, without a store: see [`crate::foreign`].
pub(crate) async fn entries(bytes: &[u8]) -> Result<usize> {
    Spool::fill(&std::env::temp_dir(), bytes).await.map(|spool| spool.entries())
}

/// One load under way.
struct Unloading<'a> {
    spool: Spool,
    store: &'a BlobStore,
    /// As asked for.
    platform: Option<Platform>,
    reporter: Reporter,
    /// By digest as stored, or by name where none is stated: images of one archive share layers.
    received: HashMap<String, (Layer, u64)>,
}

impl Unloading<'_> {
    /// The image is of the platform that was asked for, if one was.
    fn wants(&self, config: &Config) -> bool {
        let is_of = |p: &Platform| p.is_of(&config.os, &config.architecture, &config.variant);
        self.platform.as_ref().is_none_or(is_of)
    }

    /// `expected`: what the archive says of the blob itself.
    async fn layer(&mut self, name: &str, diff_id: &Digest, expected: Option<(&Digest, u64)>) -> Result<(Layer, u64)> {
        let place = self.spool.find(name).ok_or_else(|| spool::missing(name))?;
        let known = self.received.get(name).cloned();
        let (layer, diff_bytes) = match known {
            Some(known) => known,
            None => self.receive(name, place, diff_id, expected).await?,
        };
        if layer.diff_id != *diff_id {
            let found = &layer.diff_id;
            return Err(Error::invalid(format!("invalid diffID for layer {name:?}: expected {diff_id}, got {found}")));
        }
        Ok((layer, diff_bytes))
    }

    async fn receive(
        &mut self,
        name: &str,
        place: Place,
        diff_id: &Digest,
        expected: Option<(&Digest, u64)>,
    ) -> Result<(Layer, u64)> {
        use futures::StreamExt as _;
        let (id, total, reporter) = (&diff_id.hex()[..12], place.size_bytes, &self.reporter);
        let mut passed = 0;
        let counted = self.spool.stream(place).inspect(|chunk| {
            passed += chunk.as_ref().map_or(0, |c| c.len() as u64);
            reporter.bytes(id, "Loading layer", passed, total);
        });
        let received = layer::receive(self.store, counted, expected).await?;
        let diff_bytes = received.inspection.diff_bytes;
        let kept = (stored_layer(received)?, diff_bytes);
        self.received.insert(name.to_owned(), kept.clone());
        Ok(kept)
    }
}

/// `Invalid` for a compression that hosts cannot read.
pub(crate) fn stored_layer(received: Received) -> Result<Layer> {
    let media_type = received.inspection.compression.media_type();
    let media_type =
        media_type.ok_or_else(|| Error::invalid("layers compressed with bzip2 or xz are not supported"))?;
    Ok(Layer {
        digest: received.digest,
        diff_id: received.inspection.diff_id,
        size_bytes: received.size_bytes,
        media_type: media_type.to_owned(),
    })
}

/// The row of an image that came without a registry.
pub(crate) fn new_image(
    bytes: Vec<u8>,
    config: &Config,
    layers: Vec<(Layer, u64)>,
    references: &[ImageRef],
) -> NewImage {
    let named = |r: &ImageRef| r.tag().map(|tag| (r.familiar_name(), tag.to_owned()));
    NewImage {
        id: Digest::of(&bytes),
        config: bytes,
        size_bytes: layers.iter().map(|(_, diff_bytes)| diff_bytes).sum(),
        blobs: layers.iter().map(|(l, _)| (l.digest.clone(), l.size_bytes)).collect(),
        layers: layers.into_iter().map(|(l, _)| l).collect(),
        architecture: config.architecture.clone(),
        os: config.os.clone(),
        created_at: config.created,
        tags: references.iter().filter_map(named).collect(),
        digests: Vec::new(),
    }
}
