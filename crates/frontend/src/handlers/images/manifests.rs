//! `Manifests` of an image (`docker images --tree`, `inspect` with `manifests=1`): here always one, of its one platform.
//!
//! The manifest is the one that `save` writes: an image that was loaded or imported has no other.

use std::collections::HashMap;

use domain::{ContainerId, Digest, Result};
use inventory::{Image, TenantView};
use serde_json::{Value, json};

use super::config::Shown;

/// The tenant's containers, by image.
pub(super) type Users = HashMap<Digest, Vec<ContainerId>>;

pub(super) async fn users(rows: &TenantView) -> Result<Users> {
    let mut users = Users::new();
    for container in rows.containers().await? {
        users.entry(container.image_id).or_default().push(container.id);
    }
    Ok(users)
}

pub(super) fn of(image: &Image, users: &Users) -> Result<Value> {
    let manifest = images::saved_manifest(image)?;
    let content_bytes = manifest.len() + image.config.len();
    let content_bytes = content_bytes as u64 + image.layers.iter().map(|l| l.size_bytes).sum::<u64>();
    let mut platform = json!({ "architecture": image.architecture, "os": image.os });
    let variant = Shown::of(image)?.variant;
    if !variant.is_empty() {
        platform["variant"] = variant.into();
    }
    let digest = Digest::of(&manifest);
    Ok(json!([{
        "ID": digest,
        "Descriptor": {
            "mediaType": images::SAVED_MANIFEST_TYPE, "digest": digest, "size": manifest.len(), "platform": platform,
        },
        "Available": true,
        "Size": { "Content": content_bytes, "Total": content_bytes + image.size_bytes },
        "Kind": "image",
        "ImageData": {
            "Platform": platform,
            "Containers": users.get(&image.id).map_or(&[][..], Vec::as_slice),
            "Size": { "Unpacked": image.size_bytes },
        },
    }]))
}
