//! An OCI image layout: `index.json`, and everything else under `blobs/sha256` by its digest.
//!
//! One name may stand there several times, once for each platform, and beside images there are attestations: of what has
//! one name and states its platform, the best is taken, and what is no image is passed over.

use std::collections::BTreeMap;

use domain::{Digest, Error, ImageRef, Result};
use inventory::NewImage;
use oci_spec::image::{Descriptor, ImageIndex};

use super::{Unloading, new_image};
use crate::{
    config::Config,
    manifest::{self, Blob, CONFIG_MAX_BYTES, Document, MANIFEST_MAX_BYTES, Manifest},
    platform::Platform,
    pull,
};

pub(super) const INDEX: &str = "index.json";
/// Below the layout's own index; policy I04.
const INDEX_DEPTH_MAX: usize = 2;
/// containerd's and BuildKit's annotation: the whole name.
const NAME: &str = "io.containerd.image.name";
/// OCI's: often only a tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(super) async fn read(unloading: &mut Unloading<'_>) -> Result<Vec<(NewImage, Vec<ImageRef>)>> {
    let bytes = unloading.spool.read(INDEX, MANIFEST_MAX_BYTES).await?;
    let invalid = |e| Error::invalid(format!("invalid archive: {INDEX}: {e}"));
    let index: ImageIndex = serde_json::from_slice(&bytes).map_err(invalid)?;
    let mut images: Vec<(NewImage, Vec<ImageRef>)> = Vec::new();
    let platform = unloading.platform.clone().unwrap_or_else(Platform::native);
    for descriptor in chosen(index.manifests(), &platform)? {
        let Some((image, references)) = image(unloading, descriptor).await? else { continue };
        // One image under several names has one descriptor for each.
        match images.iter_mut().find(|(known, _)| known.id == image.id) {
            Some((known, names)) => {
                known.tags.extend(image.tags);
                names.extend(references);
            }
            None => images.push((image, references)),
        }
    }
    Ok(images)
}

/// All that state no platform, and of the others one for each name.
fn chosen<'a>(descriptors: &'a [Descriptor], platform: &Platform) -> Result<Vec<&'a Descriptor>> {
    let mut chosen: Vec<&Descriptor> = Vec::new();
    let mut stated: BTreeMap<String, Vec<Descriptor>> = BTreeMap::new();
    for descriptor in descriptors {
        match descriptor.platform() {
            None => chosen.push(descriptor),
            Some(p) if p.os().to_string() == "unknown" => {} // BuildKit's attestations
            Some(_) => {
                let name = name(descriptor)?.map(|n| n.to_string()).unwrap_or_default();
                stated.entry(name).or_default().push(descriptor.clone());
            }
        }
    }
    for of_one_name in stated.values() {
        let best = platform.choose(of_one_name).ok_or_else(|| pull::no_match(platform))?;
        chosen.extend(descriptors.iter().find(|d| *d == best));
    }
    Ok(chosen)
}

/// None: of another platform than the one that was asked for.
async fn image(unloading: &mut Unloading<'_>, descriptor: &Descriptor) -> Result<Option<(NewImage, Vec<ImageRef>)>> {
    let references: Vec<ImageRef> = name(descriptor)?.into_iter().collect();
    let manifest = find_manifest(unloading, descriptor).await?;
    let bytes = blob(unloading, &manifest.config, CONFIG_MAX_BYTES).await?;
    let config = Config::parse(&bytes)?;
    if !unloading.wants(&config) {
        return Ok(None);
    }
    if config.diff_ids().len() != manifest.layers.len() {
        return Err(Error::invalid("layers from manifest don't match image configuration"));
    }
    let mut layers = Vec::new();
    for (blob, diff_id) in manifest.layers.iter().zip(config.diff_ids()) {
        let expected = Some((&blob.digest, blob.size_bytes));
        layers.push(unloading.layer(&place_of(&blob.digest), diff_id, expected).await?);
    }
    Ok(Some((new_image(bytes, &config, layers, &references), references)))
}

async fn find_manifest(unloading: &Unloading<'_>, descriptor: &Descriptor) -> Result<Manifest> {
    let mut wanted = manifest::blob(descriptor)?;
    for _ in 0..=INDEX_DEPTH_MAX {
        let bytes = blob(unloading, &wanted, MANIFEST_MAX_BYTES).await?;
        match manifest::parse(&bytes, &wanted.media_type)? {
            Document::Image(manifest) => return Ok(manifest),
            Document::Index(entries) => {
                let platform = unloading.platform.clone().unwrap_or_else(Platform::native);
                wanted = manifest::blob(platform.choose(&entries).ok_or_else(|| pull::no_match(&platform))?)?;
            }
        }
    }
    Err(Error::invalid(format!("manifest lists are nested more than {INDEX_DEPTH_MAX} deep (policy I04)")))
}

async fn blob(unloading: &Unloading<'_>, wanted: &Blob, cap_bytes: u64) -> Result<Vec<u8>> {
    let bytes = unloading.spool.read(&place_of(&wanted.digest), cap_bytes).await?;
    if Digest::of(&bytes) != wanted.digest || bytes.len() as u64 != wanted.size_bytes {
        return Err(Error::invalid(format!("invalid archive: blob {} is not what its name says", wanted.digest)));
    }
    Ok(bytes)
}

fn place_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A bare tag names no repository: such an image is loaded without a name.
fn name(descriptor: &Descriptor) -> Result<Option<ImageRef>> {
    let Some(annotations) = descriptor.annotations() else { return Ok(None) };
    let whole = annotations.get(NAME).or_else(|| annotations.get(REF_NAME).filter(|n| n.contains([':', '/'])));
    let parsed = whole.map(|n| n.parse::<ImageRef>()).transpose()?;
    Ok(parsed.map(ImageRef::with_default_tag).filter(|r| r.tag().is_some()))
}
