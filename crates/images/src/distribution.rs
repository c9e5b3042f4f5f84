//! `GET /distribution/{name}/json`: what a registry says of a reference, without pulling it.

use domain::{Digest, Error, ImageRef, Result};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

use crate::{
    Images,
    auth::RegistryAuth,
    manifest::{self, CONFIG_MAX_BYTES, Document, Manifest},
    registry::{self, Repository, Trouble},
};

/// Of a config, what is a platform in OCI's sense.
const PLATFORM: [&str; 5] = ["architecture", "os", "os.version", "os.features", "variant"];

/// A manifest or an index, as the registry has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    pub media_type: String,
    pub digest: Digest,
    pub size_bytes: u64,
    /// OCI's JSON.
    pub platforms: Vec<Value>,
}

impl Images {
    /// At the first endpoint that has it. Errors are the registry's words.
    pub async fn distribution(&self, reference: &ImageRef, auth: Option<&RegistryAuth>) -> Result<Distribution> {
        let reference = reference.clone().with_default_tag();
        let mut last = Error::internal("a reference without an endpoint");
        for repository in self.registries.endpoints(&reference, auth).await? {
            match at(&repository, &reference).await {
                Ok(found) => return Ok(found),
                Err(Trouble::Ours(error)) => return Err(error),
                Err(trouble) => last = trouble.about_distribution(),
            }
        }
        Err(last)
    }
}

async fn at(repository: &Repository, reference: &ImageRef) -> Result<Distribution, Trouble> {
    let wanted = reference.digest().map(Digest::as_str).or(reference.tag()).unwrap_or("latest");
    let (bytes, sent_as) = repository.manifest(wanted).await?;
    let digest = Digest::of(&bytes);
    if reference.digest().is_some_and(|d| *d != digest) {
        return Err(Error::invalid(format!("manifest verification failed for digest {wanted}")).into());
    }
    let platforms = match manifest::parse(&bytes, &sent_as)? {
        Document::Index(entries) => {
            let platforms = entries.iter().filter_map(|d| d.platform().as_ref());
            platforms.map(|p| serde_json::to_value(p).unwrap_or_default()).collect()
        }
        Document::Image(manifest) => vec![platform_of(repository, reference, &manifest).await?],
    };
    let media_type = sent_as.split(';').next().unwrap_or_default().trim().to_owned();
    Ok(Distribution { media_type, digest, size_bytes: bytes.len() as u64, platforms })
}

async fn platform_of(repository: &Repository, reference: &ImageRef, manifest: &Manifest) -> Result<Value, Trouble> {
    if manifest.config.size_bytes > CONFIG_MAX_BYTES {
        return Err(Error::invalid("the image config is too large (policy I04)").into());
    }
    let chunks: Vec<_> = registry::fetch(repository, reference, &manifest.config).try_collect().await?;
    let bytes = chunks.concat();
    if Digest::of(&bytes) != manifest.config.digest {
        let text = format!("image config verification failed for digest {}", manifest.config.digest);
        return Err(Error::invalid(text).into());
    }
    let config: Value = serde_json::from_slice(&bytes).map_err(|_| Error::invalid("invalid image config"))?;
    let mut platform = json!({});
    for key in PLATFORM {
        if let Some(value) = config.get(key).filter(|v| !v.is_null() && **v != json!("")) {
            platform[key] = value.clone();
        }
    }
    Ok(platform)
}
