//! Reading manifests and lists of manifests, within policy I04's limits.
//!
//! The bytes decide, not the registry's `Content-Type` alone: a document that could be read as a list *and* as a
//! manifest (CVE-2021-41190) is refused, and so is one whose own `mediaType` contradicts what it was sent as.

use domain::{Digest, Error, Result};
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde::Deserialize;

use crate::media;

/// Policy I04: bytes of a manifest or an index.
pub(crate) const MANIFEST_MAX_BYTES: u64 = 4 << 20;
/// Bytes of an image config.
pub(crate) const CONFIG_MAX_BYTES: u64 = 8 << 20;
/// Policy I04.
pub(crate) const LAYERS_MAX: usize = 128;
/// Bytes of one layer as stored.
pub(crate) const LAYER_MAX_BYTES: u64 = 32 << 30;

#[derive(Debug)]
pub(crate) enum Document {
    Image(Manifest),
    Index(Vec<Descriptor>),
}

/// One platform's image.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Blob,
    pub(crate) layers: Vec<Blob>,
}

#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
    pub(crate) media_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// `content_type`: as it was sent or as its descriptor says; empty where nobody said.
pub(crate) fn parse(bytes: &[u8], content_type: &str) -> Result<Document> {
    let shape: Shape = serde_json::from_slice(bytes).map_err(|_| Error::invalid("the manifest is not valid JSON"))?;
    if shape.schema_version == Some(1) || shape.fs_layers.is_some() {
        return Err(Error::unsupported("manifests of schema version 1 are not supported"));
    }
    if shape.manifests.is_some() && (shape.layers.is_some()) {
        return Err(Error::invalid("the manifest has both \"manifests\" and \"layers\""));
    }
    let sent_as = content_type.split(';').next().unwrap_or_default().trim();
    if let Some(own) = shape.media_type.as_deref()
        && media::MANIFESTS.contains(&sent_as)
        && own != sent_as
    {
        return Err(Error::invalid(format!("the manifest says that it is {own:?} and was sent as {sent_as:?}")));
    }
    if shape.manifests.is_some() { index(bytes).map(Document::Index) } else { image(bytes).map(Document::Image) }
}

fn index(bytes: &[u8]) -> Result<Vec<Descriptor>> {
    let index: ImageIndex = serde_json::from_slice(bytes).map_err(|e| Error::invalid(format!("invalid index: {e}")))?;
    Ok(index.manifests().clone())
}

fn image(bytes: &[u8]) -> Result<Manifest> {
    let invalid = |e| Error::invalid(format!("invalid manifest: {e}"));
    let manifest: ImageManifest = serde_json::from_slice(bytes).map_err(invalid)?;
    if manifest.layers().len() > LAYERS_MAX {
        return Err(Error::invalid(format!("the image has more than {LAYERS_MAX} layers")));
    }
    let config = blob(manifest.config())?;
    if ![media::DOCKER_CONFIG, media::OCI_CONFIG].contains(&config.media_type.as_str()) {
        return Err(Error::invalid(format!("Encountered remote {:?}(unknown) when fetching", config.media_type)));
    }
    let layers = manifest.layers().iter().map(layer).collect::<Result<_>>()?;
    Ok(Manifest { config, layers })
}

fn layer(descriptor: &Descriptor) -> Result<Blob> {
    let blob = blob(descriptor)?;
    if media::is_foreign(&blob.media_type) || descriptor.urls().as_ref().is_some_and(|u| !u.is_empty()) {
        return Err(Error::forbidden("layers that a registry does not hold itself are refused (policy I01)"));
    }
    if !media::is_layer(&blob.media_type) {
        return Err(Error::invalid(format!("unsupported layer media type {:?}", blob.media_type)));
    }
    if blob.size_bytes > LAYER_MAX_BYTES {
        return Err(Error::forbidden(format!("a layer of {} bytes is too large (policy I04)", blob.size_bytes)));
    }
    Ok(blob)
}

/// Digest (sha256 only) and size out of a descriptor.
pub(crate) fn blob(descriptor: &Descriptor) -> Result<Blob> {
    Ok(Blob {
        digest: descriptor.digest().to_string().parse()?,
        size_bytes: descriptor.size(),
        media_type: descriptor.media_type().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_and_old_manifests_are_refused() {
        for (text, wanted) in [
            (r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, "both"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema version 1"),
            (
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
                "was sent as",
            ),
            ("{", "not valid JSON"),
        ] {
            let error = parse(text.as_bytes(), media::OCI_MANIFEST).expect_err(text).to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn foreign_layers_are_refused() {
        let digest = Digest::of(b"x");
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{c}","digest":"{digest}","size":1}},
            "layers":[{{"mediaType":"{l}","digest":"{digest}","size":1,"urls":["https://elsewhere.example/x"]}}]}}"#,
            c = media::OCI_CONFIG,
            l = media::LAYER_GZIP
        );
        assert!(matches!(parse(text.as_bytes(), "").expect_err("urls"), Error::Forbidden(_)));
    }
}
