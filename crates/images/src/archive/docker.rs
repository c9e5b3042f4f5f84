//! `manifest.json`: a list of images, each with its config's name, its layers' names and its tags.

use domain::{Error, ImageRef, Result};
use inventory::NewImage;
use serde::Deserialize;

use super::{Unloading, new_image};
use crate::{
    config::Config,
    manifest::{CONFIG_MAX_BYTES, LAYERS_MAX, MANIFEST_MAX_BYTES},
};

pub(super) const INDEX: &str = "manifest.json";
const IMAGES_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

pub(super) async fn read(unloading: &mut Unloading<'_>) -> Result<Vec<(NewImage, Vec<ImageRef>)>> {
    let index = unloading.spool.read(INDEX, MANIFEST_MAX_BYTES).await?;
    let invalid = |e| Error::invalid(format!("invalid archive: {INDEX}: {e}"));
    let items: Vec<Item> = serde_json::from_slice(&index).map_err(invalid)?;
    if items.len() > IMAGES_MAX {
        return Err(Error::invalid(format!("the archive holds more than {IMAGES_MAX} images (policy I05)")));
    }
    let mut images = Vec::new();
    for item in items {
        images.extend(image(unloading, item).await?);
    }
    Ok(images)
}

/// None: of another platform than the one that was asked for.
async fn image(unloading: &mut Unloading<'_>, item: Item) -> Result<Option<(NewImage, Vec<ImageRef>)>> {
    let references = references(item.repo_tags.unwrap_or_default())?;
    let bytes = unloading.spool.read(&item.config, CONFIG_MAX_BYTES).await?;
    let config = Config::parse(&bytes)?;
    if !unloading.wants(&config) {
        return Ok(None);
    }
    let names = item.layers.unwrap_or_default();
    let (stated, listed) = (config.diff_ids().len(), names.len());
    if listed > LAYERS_MAX || stated != listed {
        return Err(Error::invalid(format!(
            "invalid manifest, layers length mismatch: expected {stated}, got {listed}"
        )));
    }
    let mut layers = Vec::new();
    for (name, diff_id) in names.iter().zip(config.diff_ids()) {
        layers.push(unloading.layer(name, diff_id, None).await?);
    }
    Ok(Some((new_image(bytes, &config, layers, &references), references)))
}

/// Tags only: a digest cannot be claimed by a file.
fn references(tags: Vec<String>) -> Result<Vec<ImageRef>> {
    let parsed = tags.iter().map(|tag| tag.parse::<ImageRef>()).collect::<Result<Vec<_>>>()?;
    match parsed.iter().find(|r| r.tag().is_none() || r.digest().is_some()) {
        Some(bad) => Err(Error::invalid(format!("invalid tag {:?}", bad.to_string()))),
        None => Ok(parsed),
    }
}
