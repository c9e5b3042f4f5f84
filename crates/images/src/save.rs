//! `docker save`: an archive that is both an OCI layout and, by `manifest.json`, what older dockers load.
//!
//! Layers go out as they are stored, and `manifest.json` names them, whatever their compression; only what is
//! compressed with zstd (as hosts do it, for commit and build) goes out plain, since older dockers do not read that.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use domain::{Digest, Error, ImageRef, Kind, Layer, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use inventory::{Image, TenantView};
use serde_json::{Map, Value, json};

use crate::{Images, collect::all_stored, config::Config, layer, media, platform::Platform, store::BlobStore};

/// Of [`saved_manifest`].
pub const SAVED_MANIFEST_TYPE: &str = media::OCI_MANIFEST;

const BLOCK: usize = 512;

/// One image and the names under which it is saved.
struct Saved {
    image: Image,
    tags: Vec<ImageRef>,
}

enum Part {
    File(String, Vec<u8>),
    Blob(Digest, u64),
}

/// Layers that go out plain: the stored blob, by diff id.
type Plain = HashMap<Digest, Digest>;

impl Images {
    /// The archive, as it is read. One name that is not the tenant's fails the whole (policy I07): `NotFound`; so does one
    /// that is of another platform than `platform`: `Missing`.
    pub async fn save(
        &self,
        tenant: &TenantView,
        names: &[String],
        platform: Option<&Platform>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let mut saved: Vec<Saved> = Vec::new();
        for name in names {
            for (image, tag) in named(tenant, name).await? {
                check_platform(&image, platform, name)?;
                match saved.iter_mut().find(|s| s.image.id == image.id) {
                    Some(known) => known.tags.extend(tag.filter(|t| !known.tags.contains(t))),
                    None => saved.push(Saved { image, tags: tag.into_iter().collect() }),
                }
            }
        }
        // What is missing is said now: in the middle of the archive there is no way to.
        for Saved { image, .. } in &saved {
            if !all_stored(&self.store, &image.layers).await? {
                return Err(Error::unavailable(format!("layers of image {} are missing in the store", image.id)));
            }
        }
        let mut plain = Plain::new();
        for Saved { image, .. } in &mut saved {
            self.plain_layers(image, &mut plain).await?;
        }
        let (store, plain) = (self.store.clone(), Arc::new(plain));
        let write = move |part| write(store.clone(), Arc::clone(&plain), part);
        let parts = stream::iter(parts(&saved)?).then(write).try_flatten();
        Ok(parts.chain(stream::iter([Ok(Bytes::from_static(&[0; 2 * BLOCK]))])).boxed())
    }

    /// The image as its archive has it.
    async fn plain_layers(&self, image: &mut Image, plain: &mut Plain) -> Result<()> {
        for layer in image.layers.iter_mut().filter(|l| oci_type(&l.media_type) == media::LAYER_ZSTD) {
            let size_bytes = layer::facts(&self.store, &layer.digest).await?.diff_bytes;
            plain.insert(layer.diff_id.clone(), layer.digest.clone());
            let (digest, media_type) = (layer.diff_id.clone(), media::LAYER_TAR.to_owned());
            *layer = Layer { digest, diff_id: layer.diff_id.clone(), size_bytes, media_type };
        }
        Ok(())
    }
}

fn check_platform(image: &Image, platform: Option<&Platform>, name: &str) -> Result<()> {
    let variant = || Config::parse(&image.config).map(|c| c.variant).unwrap_or_default();
    match platform {
        Some(platform) if !platform.is_of(&image.os, &image.architecture, &variant()) => Err(Error::Missing(format!(
            "image with reference {name} was found but does not provide the specified platform ({platform})"
        ))),
        _ => Ok(()),
    }
}

/// A name without a tag means all tags of its repository, as in dockerd.
async fn named(tenant: &TenantView, name: &str) -> Result<Vec<(Image, Option<ImageRef>)>> {
    let missing = || Error::not_found(Kind::Image, name);
    let reference: Option<ImageRef> = name.parse().ok();
    if let Some(repository) = reference.as_ref().filter(|r| r.tag().is_none() && r.digest().is_none()) {
        let familiar = repository.familiar_name();
        let mut found = Vec::new();
        for image in tenant.images().await? {
            for (_, tag) in image.tags.iter().filter(|(r, _)| *r == familiar) {
                found.push((image.clone(), Some(repository.clone().with_tag(tag)?)));
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let image =
        tenant.image(name).await.map_err(|e| if matches!(e, Error::NotFound { .. }) { missing() } else { e })?;
    let tag = reference.filter(|r| r.tag().is_some() && r.digest().is_none());
    let tag =
        tag.filter(|r| image.tags.iter().any(|(repo, t)| *repo == r.familiar_name() && Some(t.as_str()) == r.tag()));
    Ok(vec![(image, tag)])
}

fn parts(saved: &[Saved]) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let (mut manifests, mut index) = (Vec::new(), Vec::new());
    let mut repositories: BTreeMap<String, BTreeMap<String, &str>> = BTreeMap::new();
    for Saved { image, tags } in saved {
        for layer in &image.layers {
            if !parts.iter().any(|p| matches!(p, Part::Blob(d, _) if *d == layer.digest)) {
                parts.push(Part::Blob(layer.digest.clone(), layer.size_bytes));
            }
        }
        let manifest = saved_manifest(image)?;
        index.extend(descriptors(&manifest, tags));
        for document in [manifest, image.config.clone()] {
            parts.push(Part::File(place_of(&Digest::of(&document)), document));
        }
        if let Some(top) = image.layers.last() {
            for tag in tags {
                let named = repositories.entry(tag.familiar_name()).or_default();
                named.insert(tag.tag().unwrap_or_default().to_owned(), top.digest.hex());
            }
        }
        manifests.push(json!({
            "Config": place_of(&image.id),
            "RepoTags": tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "Layers": image.layers.iter().map(|l| place_of(&l.digest)).collect::<Vec<_>>(),
            "LayerSources": image.layers.iter().map(|l| (l.diff_id.to_string(), descriptor(l))).collect::<Map<_, _>>(),
        }));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": index });
    parts.push(Part::File("index.json".to_owned(), json(&index)?));
    parts.push(Part::File("manifest.json".to_owned(), json(&Value::Array(manifests))?));
    parts.push(Part::File("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    if !repositories.is_empty() {
        parts.push(Part::File("repositories".to_owned(), json(&json!(repositories))?));
    }
    Ok(parts)
}

/// The manifest under which an image is saved; the same for the same image.
pub fn saved_manifest(image: &Image) -> Result<Vec<u8>> {
    json(&json!({
        "schemaVersion": 2,
        "mediaType": SAVED_MANIFEST_TYPE,
        "config": { "mediaType": media::OCI_CONFIG, "digest": image.id, "size": image.config.len() },
        "layers": image.layers.iter().map(descriptor).collect::<Vec<_>>(),
    }))
}

fn descriptor(l: &Layer) -> Value {
    json!({ "mediaType": oci_type(&l.media_type), "digest": l.digest, "size": l.size_bytes })
}

/// Docker's types are not OCI's, the bytes are.
fn oci_type(media_type: &str) -> &str {
    match media_type.rsplit_once("tar") {
        Some((_, ".gzip" | "+gzip")) => media::LAYER_GZIP,
        Some((_, ".zstd" | "+zstd")) => media::LAYER_ZSTD,
        _ => media::LAYER_TAR,
    }
}

/// One for each name; one without where there is none.
fn descriptors(manifest: &[u8], tags: &[ImageRef]) -> Vec<Value> {
    let plain = json!({ "mediaType": media::OCI_MANIFEST, "digest": Digest::of(manifest), "size": manifest.len() });
    let named = |tag: &ImageRef| {
        let mut descriptor = plain.clone();
        let (name, tag) = (tag.canonical_name(), tag.tag().unwrap_or_default());
        descriptor["annotations"] = json!({
            "io.containerd.image.name": format!("{name}:{tag}"),
            "org.opencontainers.image.ref.name": tag,
        });
        descriptor
    };
    if tags.is_empty() { vec![plain] } else { tags.iter().map(named).collect() }
}

fn place_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn json(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::because("encoding an archive's index", e))
}

async fn write(store: BlobStore, plain: Arc<Plain>, part: Part) -> Result<BoxStream<'static, Result<Bytes>>> {
    let (name, size_bytes, data) = match part {
        Part::File(name, bytes) => (name, bytes.len() as u64, stream::iter([Ok(Bytes::from(bytes))]).boxed()),
        Part::Blob(digest, size_bytes) => {
            let data = match plain.get(&digest) {
                Some(stored) => layer::decoded(store.read(stored).await?),
                None => store.read(&digest).await?,
            };
            (place_of(&digest), size_bytes, data)
        }
    };
    let padding = size_bytes.next_multiple_of(BLOCK as u64) - size_bytes;
    let ends = [header(&name, size_bytes)?, vec![0u8; padding as usize]].map(|b| Ok(Bytes::from(b)));
    let [start, end] = ends;
    Ok(stream::iter([start]).chain(data).chain(stream::iter([end])).boxed())
}

fn header(name: &str, size_bytes: u64) -> Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).map_err(|e| Error::because("a name in an archive", e))?;
    header.set_size(size_bytes);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}
