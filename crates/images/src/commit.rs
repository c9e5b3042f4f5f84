//! `docker commit`, and each step of a build: an image's layers, what a container made of them, and a new config.

use bytes::Bytes;
use chrono::{SecondsFormat, Utc};
use domain::{Digest, Error, ImageRef, Layer, Result};
use futures::Stream;
use inventory::TenantView;
use serde_json::{Map, Value, json};

use crate::{
    Images, archive,
    config::Config,
    layer::{self, Inspection},
    manifest::LAYERS_MAX,
    platform::Platform,
};

/// Of the parent's config, what its children are too.
const INHERITED: [&str; 5] = ["architecture", "variant", "os", "os.version", "os.features"];

/// A layer in the store.
#[derive(Debug, Clone)]
pub struct StoredLayer {
    pub layer: Layer,
    /// Of the uncompressed tar.
    pub diff_bytes: u64,
}

/// An image that is to be made.
#[derive(Debug, Clone, Default)]
pub struct NewChild {
    /// The parent's whole config; empty where it has none or is gone.
    pub parent: Vec<u8>,
    /// The parent's layers.
    pub layers: Vec<Layer>,
    /// The image's `Config`, changes applied.
    pub config: Value,
    pub author: String,
    pub comment: String,
    /// The history's.
    pub created_by: String,
    pub names: Vec<ImageRef>,
}

impl Images {
    /// Stores a layer that a host made.
    pub async fn receive_layer(&self, stream: impl Stream<Item = Result<Bytes>> + Send) -> Result<StoredLayer> {
        let received = layer::receive(&self.store, stream, None).await?;
        let diff_bytes = received.inspection.diff_bytes;
        Ok(StoredLayer { layer: archive::stored_layer(received)?, diff_bytes })
    }

    /// A layer that the tenant made before, and still has.
    pub async fn known_layer(&self, tenant: &TenantView, digest: &Digest) -> Result<Option<StoredLayer>> {
        let (owned, size) = tokio::try_join!(tenant.has_blob_right(digest), self.store.size(digest))?;
        let Some(size_bytes) = size.filter(|_| owned) else { return Ok(None) };
        let Inspection { diff_id, diff_bytes, compression } = layer::facts(&self.store, digest).await?;
        let Some(media_type) = compression.media_type() else { return Ok(None) };
        let layer = Layer { digest: digest.clone(), diff_id, size_bytes, media_type: media_type.to_owned() };
        let stays = self.secure(std::slice::from_ref(&layer)).await?;
        Ok(stays.then_some(StoredLayer { layer, diff_bytes }))
    }

    /// The new image's id. Without `layer` only the config is new.
    pub async fn commit(&self, tenant: &TenantView, layer: Option<StoredLayer>, child: NewChild) -> Result<Digest> {
        let sizes = self.layer_sizes(&child.layers).await?;
        let mut layers: Vec<(Layer, u64)> = child.layers.iter().cloned().zip(sizes).collect();
        let empty_layer = layer.is_none();
        layers.extend(layer.map(|l| (l.layer, l.diff_bytes)));
        if layers.len() > LAYERS_MAX {
            return Err(Error::invalid("max depth exceeded"));
        }
        let diff_ids: Vec<&Digest> = layers.iter().map(|(layer, _)| &layer.diff_id).collect();
        let bytes = document(&child, &diff_ids, empty_layer)?;
        let image = archive::new_image(bytes.clone(), &Config::parse(&bytes)?, layers, &child.names);
        tenant.put_image(&image).await?;
        Ok(image.id)
    }
}

/// The config, in the shape that dockerd writes.
fn document(child: &NewChild, diff_ids: &[&Digest], empty_layer: bool) -> Result<Vec<u8>> {
    let parent: Map<String, Value> = match child.parent.as_slice() {
        [] => Map::new(),
        bytes => serde_json::from_slice(bytes).map_err(|e| Error::because("reading a stored image config", e))?,
    };
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true);
    let mut document = Map::new();
    let native = Platform::native();
    document.insert("architecture".to_owned(), native.architecture.into());
    for key in INHERITED {
        document.extend(parent.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    let mut step = Map::from_iter([("created".to_owned(), json!(now))]);
    for (key, text) in [("author", &child.author), ("created_by", &child.created_by), ("comment", &child.comment)] {
        if !text.is_empty() {
            step.insert(key.to_owned(), json!(text));
        }
    }
    if empty_layer {
        step.insert("empty_layer".to_owned(), json!(true));
    }
    let mut history = parent.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
    history.push(Value::Object(step));
    for (key, text) in [("author", &child.author), ("comment", &child.comment)] {
        if !text.is_empty() {
            document.insert(key.to_owned(), json!(text));
        }
    }
    document.insert("config".to_owned(), child.config.clone());
    document.insert("created".to_owned(), json!(now));
    document.insert("history".to_owned(), json!(history));
    document.entry("os").or_insert_with(|| json!("linux"));
    document.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
    serde_json::to_vec(&document).map_err(|e| Error::because("encoding an image config", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_its_parents_platform_and_history() {
        let parent = br#"{"architecture":"arm64","variant":"v8","os":"linux","author":"them","config":{"User":"u"},
            "history":[{"created_by":"ADD x"}],"rootfs":{"type":"layers","diff_ids":[]}}"#;
        let child = NewChild {
            parent: parent.to_vec(),
            config: json!({"Cmd": ["sh"]}),
            author: "me".to_owned(),
            created_by: "sh -c x".to_owned(),
            ..NewChild::default()
        };
        let diff = Digest::of(b"x");
        let made: Value = serde_json::from_slice(&document(&child, &[&diff], false).expect("made")).expect("JSON");
        assert_eq!(
            (&made["architecture"], &made["variant"], &made["author"]),
            (&json!("arm64"), &json!("v8"), &json!("me"))
        );
        assert_eq!(made["config"], json!({"Cmd": ["sh"]}));
        assert_eq!(made["rootfs"]["diff_ids"], json!([diff]));
        let history = made["history"].as_array().expect("history");
        assert_eq!((history.len(), &history[1]["created_by"]), (2, &json!("sh -c x")));
        assert!(history[1].get("empty_layer").is_none() && history[1].get("comment").is_none());
        let made = document(&NewChild::default(), &[], true).expect("from nothing");
        let made: Value = serde_json::from_slice(&made).expect("JSON");
        assert_eq!((&made["os"], &made["history"][0]["empty_layer"]), (&json!("linux"), &json!(true)));
    }
}
