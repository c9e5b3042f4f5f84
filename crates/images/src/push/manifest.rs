//! Which manifest an image is pushed with, and which repositories of a registry hold its layers already.

use domain::{Error, ImageRef, Result};
use inventory::{Image, TenantView};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Holder, wire::Wire};
use crate::{
    manifest::{self, Document, Manifest},
    media,
};

const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Media type and bytes of the manifest that the image came with, if its blobs are still those of the manifest.
pub(super) async fn kept(tenant: &TenantView, image: &Image) -> Result<Option<(String, Vec<u8>)>> {
    let is_ours = |m: &Manifest| {
        m.config.digest == image.id && m.layers.iter().map(|l| &l.digest).eq(image.layers.iter().map(|l| &l.digest))
    };
    for (_, bytes) in tenant.manifests_of(&image.id).await? {
        if let Some(manifest) = parsed(&bytes).filter(is_ours) {
            let docker = manifest.config.media_type == media::DOCKER_CONFIG;
            let default = if docker { media::DOCKER_MANIFEST } else { media::OCI_MANIFEST };
            let own =
                serde_json::from_slice::<Value>(&bytes).ok().and_then(|v| v["mediaType"].as_str().map(str::to_owned));
            return Ok(Some((own.unwrap_or_else(|| default.to_owned()), bytes)));
        }
    }
    Ok(None)
}

/// Blobs that other repositories of the target's registry hold: the repository's path, and digests.
pub(super) async fn elsewhere(tenant: &TenantView, image: &Image, target: &ImageRef) -> Result<Vec<Holder>> {
    let diff_ids: Vec<&str> = image.layers.iter().map(|l| l.diff_id.as_str()).collect();
    let mut known = Vec::new();
    for (repository, bytes) in tenant.manifests_with(&diff_ids).await? {
        let Ok(repository) = repository.parse::<ImageRef>() else { continue };
        if repository.domain() == target.domain()
            && repository.path() != target.path()
            && let Some(manifest) = parsed(&bytes)
        {
            let layers = manifest.layers.into_iter().map(|l| l.digest).collect();
            known.push((repository.path().to_owned(), layers));
        }
    }
    Ok(known)
}

fn parsed(bytes: &[u8]) -> Option<Manifest> {
    match manifest::parse(bytes, "") {
        Ok(Document::Image(manifest)) => Some(manifest),
        _ => None,
    }
}

/// Docker's, in dockerd's layout: the same image pushed by a dockerd has the same digest.
pub(super) fn ours(image: &Image, layers: &[Wire]) -> Result<(String, Vec<u8>)> {
    let layer = |w: &Wire| json!({ "mediaType": DOCKER_LAYER, "size": w.size_bytes, "digest": w.digest });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::DOCKER_MANIFEST,
        "config": { "mediaType": media::DOCKER_CONFIG, "size": image.config.len(), "digest": image.id },
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
    });
    let mut bytes = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    let written = manifest.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, indent));
    written.map_err(|e| Error::because("encoding a manifest", e))?;
    Ok((media::DOCKER_MANIFEST.to_owned(), bytes))
}
