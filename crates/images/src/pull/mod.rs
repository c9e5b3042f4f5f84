//! `docker pull`: reference -> manifest -> config -> layers, then one transaction that makes the image visible.
//!
//! Nothing is extracted here: hosts do that, when they first need the image. Nothing half-made is seen by anybody: a
//! layer becomes a blob when its digest is right, and the tenant's only with the image's row.

mod flight;
mod layer;
mod resolve;

use std::collections::BTreeMap;

use domain::{Digest, Error, ImageRef, Layer, Result};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};
use inventory::{NewImage, TenantView};
use tokio::sync::mpsc;

pub(crate) use flight::Flights;
use layer::{Fetching, Obtained, short};
pub(crate) use resolve::no_match;
use resolve::{Resolved, resolve};

use crate::{
    Images,
    auth::RegistryAuth,
    collect::all_stored,
    config::Config,
    manifest::{Blob, CONFIG_MAX_BYTES},
    platform::Platform,
    progress::{Progress, Reporter},
    registry,
};

/// The collector may take a layer that was there when the pull began; a third time would be no accident.
const TRIES: usize = 3;
/// As dockerd's default.
const LAYERS_AT_ONCE: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The image's.
    pub id: Digest,
    /// Of what the reference points to: manifest or index.
    pub digest: Digest,
    /// The reference pointed there before.
    pub up_to_date: bool,
}

impl Images {
    /// Pulls one image; `latest` where there is neither tag nor digest. Errors are dockerd's: `Missing` for what does
    /// not exist, `Unavailable` for a registry that does not answer, `Forbidden` where policy I01 says no.
    pub async fn pull(
        &self,
        tenant: &TenantView,
        reference: &ImageRef,
        platform: Option<&str>,
        auth: Option<RegistryAuth>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Pulled> {
        let reference = reference.clone().with_default_tag();
        let platform = Platform::parse(platform.unwrap_or_default())?;
        let reporter = Reporter::new(progress);
        let pulled = self.pull_one(tenant, &reference, &platform, auth.as_ref(), &reporter).await?;
        reporter.say(outcome(pulled.up_to_date, &reference.to_string())).await?;
        Ok(pulled)
    }

    /// Every tag of a repository (`docker pull --all-tags`), with one word about the outcome for all of them.
    pub async fn pull_all(
        &self,
        tenant: &TenantView,
        repository: &ImageRef,
        platform: Option<&str>,
        auth: Option<RegistryAuth>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<()> {
        let platform = Platform::parse(platform.unwrap_or_default())?;
        let reporter = Reporter::new(progress);
        let mut up_to_date = true;
        for tag in self.tags(repository, auth.as_ref()).await? {
            let reference = repository.clone().with_tag(&tag)?;
            let pulled = self.pull_one(tenant, &reference, &platform, auth.as_ref(), &reporter).await?;
            up_to_date &= pulled.up_to_date;
        }
        reporter.say(outcome(up_to_date, &repository.familiar_name())).await
    }

    async fn pull_one(
        &self,
        tenant: &TenantView,
        reference: &ImageRef,
        platform: &Platform,
        auth: Option<&RegistryAuth>,
        reporter: &Reporter,
    ) -> Result<Pulled> {
        let endpoints = self.registries.endpoints(reference, auth).await?;
        let resolved = resolve(endpoints, reference, platform).await?;
        let shown = reference.digest().map(Digest::as_str).or(reference.tag()).unwrap_or_default();
        reporter.status(shown, format!("Pulling from {}", reference.path())).await?;
        let pulled = self.take(tenant, reference, &resolved, reporter).await?;
        reporter.say(format!("Digest: {}", pulled.digest)).await?;
        Ok(pulled)
    }

    /// The repository's tags, as the registry orders them.
    pub(crate) async fn tags(&self, reference: &ImageRef, auth: Option<&RegistryAuth>) -> Result<Vec<String>> {
        let mut last = Error::internal("a reference without an endpoint");
        for repository in self.registries.endpoints(reference, auth).await? {
            match repository.tags().await {
                Ok(tags) => return Ok(tags),
                Err(trouble) => last = trouble.about(reference),
            }
        }
        Err(last)
    }

    async fn take(
        &self,
        tenant: &TenantView,
        reference: &ImageRef,
        from: &Resolved,
        reporter: &Reporter,
    ) -> Result<Pulled> {
        let id = from.manifest.config.digest.clone();
        let up_to_date = points_to(tenant, reference, &id).await?;
        let mut image = self.obtain(tenant, reference, from, reporter).await?;
        let repository = reference.familiar_name();
        let tag = reference.tag().filter(|_| reference.digest().is_none());
        image.tags = tag.map(|tag| (repository.clone(), tag.to_owned())).into_iter().collect();
        image.digests = vec![(repository, from.digest.clone(), from.bytes.clone())];
        tenant.put_image(&image).await?;
        Ok(Pulled { id, digest: from.digest.clone(), up_to_date })
    }

    /// The image with all its layers in the store, and claimed.
    async fn obtain(
        &self,
        tenant: &TenantView,
        reference: &ImageRef,
        from: &Resolved,
        reporter: &Reporter,
    ) -> Result<NewImage> {
        for _ in 0..TRIES {
            let image = match self.known(tenant, &from.manifest.config.digest).await? {
                Some(known) => known,
                None => self.fetch(tenant, reference, from, reporter).await?,
            };
            if self.secure(&image.layers).await? {
                return Ok(image);
            }
        }
        Err(Error::unavailable("the image's layers do not stay in the store, try again"))
    }

    /// The tenant has the image already, under whatever name, and nothing of it was lost: as dockerd, no layer is asked for.
    async fn known(&self, tenant: &TenantView, id: &Digest) -> Result<Option<NewImage>> {
        let image = match tenant.image(id.as_str()).await {
            Ok(image) => image,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !all_stored(&self.store, &image.layers).await? {
            return Ok(None);
        }
        Ok(Some(NewImage {
            id: image.id,
            config: image.config,
            blobs: blobs(&image.layers),
            layers: image.layers,
            size_bytes: image.size_bytes,
            architecture: image.architecture,
            os: image.os,
            created_at: image.created_at,
            tags: Vec::new(),
            digests: Vec::new(),
        }))
    }

    async fn fetch(
        &self,
        tenant: &TenantView,
        reference: &ImageRef,
        from: &Resolved,
        reporter: &Reporter,
    ) -> Result<NewImage> {
        let bytes = config_bytes(reference, from).await?;
        let config = Config::parse(&bytes)?;
        if config.diff_ids().len() != from.manifest.layers.len() {
            return Err(Error::invalid("layers from manifest don't match image configuration"));
        }
        let fetching = Fetching {
            inventory: &self.inventory,
            store: &self.store,
            flights: &self.flights,
            tenant,
            repository: &from.repository,
            reference,
            reporter,
        };
        let obtained = obtain_all(&fetching, &from.manifest.layers, config.diff_ids()).await?;
        Ok(new_image(bytes, &config, &obtained))
    }
}

fn outcome(up_to_date: bool, name: &str) -> String {
    let outcome = if up_to_date { "Image is up to date" } else { "Downloaded newer image" };
    format!("Status: {outcome} for {name}")
}

/// The reference is the tenant's already, and means this image.
async fn points_to(tenant: &TenantView, reference: &ImageRef, id: &Digest) -> Result<bool> {
    match tenant.image(&reference.to_string()).await {
        Ok(image) => Ok(image.id == *id),
        Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn config_bytes(reference: &ImageRef, from: &Resolved) -> Result<Vec<u8>> {
    let blob = &from.manifest.config;
    if blob.size_bytes > CONFIG_MAX_BYTES {
        return Err(Error::invalid("the image config is too large (policy I04)"));
    }
    let chunks: Vec<_> = registry::fetch(&from.repository, reference, blob).try_collect().await?;
    let bytes = chunks.concat();
    if Digest::of(&bytes) != blob.digest {
        return Err(Error::invalid(format!("image config verification failed for digest {}", blob.digest)));
    }
    Ok(bytes)
}

/// Three at once, each digest once, in any order; the result maps blob digests.
async fn obtain_all(fetching: &Fetching<'_>, blobs: &[Blob], diff_ids: &[Digest]) -> Result<Vec<Obtained>> {
    let mut wanted: Vec<(&Blob, &Digest)> = Vec::new();
    for (blob, diff_id) in blobs.iter().zip(diff_ids) {
        if !wanted.iter().any(|(b, _)| b.digest == blob.digest) {
            wanted.push((blob, diff_id));
        }
    }
    announce(fetching, &wanted).await?;
    // Boxed: the compiler cannot see that a future which borrows what a closure was given is `Send`.
    let jobs: Vec<BoxFuture<'_, Result<(Digest, Obtained)>>> =
        wanted.into_iter().map(|(blob, diff_id)| obtain_one(fetching, blob, diff_id).boxed()).collect();
    let obtained: BTreeMap<_, _> = stream::iter(jobs).buffer_unordered(LAYERS_AT_ONCE).try_collect().await?;
    let in_order = blobs.iter().map(|b| obtained.get(&b.digest).cloned());
    in_order.collect::<Option<_>>().ok_or_else(|| Error::internal("a layer was not obtained"))
}

async fn obtain_one(fetching: &Fetching<'_>, blob: &Blob, diff_id: &Digest) -> Result<(Digest, Obtained)> {
    Ok((blob.digest.clone(), fetching.obtain(blob, diff_id).await?))
}

async fn announce(fetching: &Fetching<'_>, wanted: &[(&Blob, &Digest)]) -> Result<()> {
    let mut announced = 0;
    for (blob, _) in wanted {
        if fetching.owns(blob).await? {
            continue;
        }
        fetching.reporter.status(short(&blob.digest), "Pulling fs layer").await?;
        announced += 1;
        if announced > LAYERS_AT_ONCE {
            fetching.reporter.status(short(&blob.digest), "Waiting").await?;
        }
    }
    Ok(())
}

/// Without names.
fn new_image(bytes: Vec<u8>, config: &Config, obtained: &[Obtained]) -> NewImage {
    let layers: Vec<Layer> = obtained.iter().map(|o| o.layer.clone()).collect();
    NewImage {
        id: Digest::of(&bytes),
        config: bytes,
        blobs: blobs(&layers),
        layers,
        size_bytes: obtained.iter().map(|o| o.diff_bytes).sum(),
        architecture: config.architecture.clone(),
        os: config.os.clone(),
        created_at: config.created,
        tags: Vec::new(),
        digests: Vec::new(),
    }
}

fn blobs(layers: &[Layer]) -> Vec<(Digest, u64)> {
    layers.iter().map(|l| (l.digest.clone(), l.size_bytes)).collect()
}
