//! `docker push`: layers and config to a repository, then the manifest under each tag.
//!
//! An image that came from a registry is pushed with the very manifest that it came with, so that it keeps its digest;
//! any other gets Docker's manifest (schema 2), whose layers are gzipped, which every registry and every docker takes.

mod layer;
mod manifest;
mod wire;

use std::collections::BTreeSet;

use domain::{Digest, Error, ImageRef, Kind, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use inventory::{Image, TenantView};
use tokio::sync::mpsc;

use crate::{
    Images,
    auth::RegistryAuth,
    progress::{Progress, Reporter},
    registry::{Repository, Trouble},
};
use layer::Sending;
pub(crate) use wire::Wire;

/// As dockerd's default.
const LAYERS_AT_ONCE: usize = 5;
/// A token is asked for so many repositories besides the target.
const NEIGHBOURS_MAX: usize = 8;

/// A repository of the target's registry (its path), and the layers that it holds.
type Holder = (String, Vec<Digest>);

impl Images {
    /// Pushes `repository` with one tag, or with all that the tenant has. Ends when it is dropped; what the registry has by
    /// then it keeps, without a name.
    pub async fn push(
        &self,
        tenant: &TenantView,
        repository: &ImageRef,
        tag: Option<&str>,
        platform: Option<&str>,
        auth: Option<RegistryAuth>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<()> {
        let reporter = Reporter::new(progress);
        let name = repository.familiar_name();
        reporter.say(format!("The push refers to repository [{}]", repository.canonical_name())).await?;
        let images = named(tenant, &name, tag).await?;
        if let Some(platform) = platform {
            images.iter().try_for_each(|(_, image)| check_platform(image, platform))?;
        }
        let mut jobs = Vec::new();
        for (tag, image) in images {
            let known = manifest::elsewhere(tenant, &image, repository).await?;
            jobs.push((tag, image, known));
        }
        let neighbours: BTreeSet<String> =
            jobs.iter().flat_map(|(_, _, known)| known).map(|(p, _)| p.clone()).collect();
        let neighbours: Vec<String> = neighbours.into_iter().take(NEIGHBOURS_MAX).collect();
        let target = self.writable(repository, auth.as_ref(), &neighbours).await?;
        let sending = Sending { images: self, tenant, target: &target, repository, reporter: &reporter };
        for (tag, image, known) in &jobs {
            push_one(&sending, tag, image, known).await?;
        }
        Ok(())
    }

    /// The first endpoint that is a registry and answers.
    async fn writable(
        &self,
        repository: &ImageRef,
        auth: Option<&RegistryAuth>,
        neighbours: &[String],
    ) -> Result<Repository> {
        let mut unreachable = Error::internal("a reference without an endpoint");
        for endpoint in self.registries.writable(repository, auth, neighbours).await? {
            match endpoint.ping().await {
                Ok(()) => return Ok(endpoint),
                Err(trouble @ Trouble::Unreachable(_)) => unreachable = trouble.about_push(),
                Err(trouble) => return Err(trouble.about_push()),
            }
        }
        Err(unreachable)
    }
}

/// The tenant's images of that repository, by tag. Another tenant's are as good as none (policy I07).
async fn named(tenant: &TenantView, name: &str, tag: Option<&str>) -> Result<Vec<(String, Image)>> {
    if let Some(tag) = tag {
        match tenant.image(&format!("{name}:{tag}")).await {
            Ok(image) => return Ok(vec![(tag.to_owned(), image)]),
            Err(Error::NotFound { kind: Kind::Image, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let mut found = Vec::new();
    for image in tenant.images().await? {
        let tags: Vec<String> = image.tags.iter().filter(|(r, _)| r == name).map(|(_, tag)| tag.clone()).collect();
        found.extend(tags.into_iter().map(|tag| (tag, image.clone())));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    match tag {
        _ if found.is_empty() => Err(Error::Missing(format!("An image does not exist locally with the tag: {name}"))),
        Some(tag) => Err(Error::Missing(format!("tag does not exist: {name}:{tag}"))),
        None => Ok(found),
    }
}

/// The parameter is JSON (`{"os":"linux","architecture":"arm64"}`).
fn check_platform(image: &Image, wanted: &str) -> Result<()> {
    let wanted: serde_json::Value = serde_json::from_str(wanted).map_err(|_| Error::invalid("invalid platform"))?;
    let same = |key: &str, is: &str| wanted[key].as_str().is_none_or(|w| w.is_empty() || w == is);
    if same("os", &image.os) && same("architecture", &image.architecture) {
        return Ok(());
    }
    Err(Error::Missing("image was found but does not provide the specified platform".to_owned()))
}

async fn push_one(sending: &Sending<'_>, tag: &str, image: &Image, known: &[Holder]) -> Result<()> {
    let kept = manifest::kept(sending.tenant, image).await?;
    // From the top down, as dockerd lists them.
    for (at, layer) in image.layers.iter().rev().enumerate() {
        sending.say(layer, "Preparing").await?;
        if at >= LAYERS_AT_ONCE {
            sending.say(layer, "Waiting").await?;
        }
    }
    let as_stored = kept.is_some();
    let jobs = image.layers.iter().map(|layer| Box::pin(sending.layer(layer, as_stored, known)));
    let jobs: Vec<futures::future::BoxFuture<'_, _>> = jobs.map(|job| job as _).collect();
    let sent: Vec<wire::Wire> = stream::iter(jobs).buffered(LAYERS_AT_ONCE).try_collect().await?;
    let (media_type, bytes) = match kept {
        Some(kept) => kept,
        None => manifest::ours(image, &sent)?,
    };
    sending.config(image).await?;
    sending.name(tag, &media_type, bytes, image).await
}
