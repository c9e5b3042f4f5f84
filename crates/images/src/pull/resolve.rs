//! From a reference to one platform's manifest, at the first endpoint that has it.

use domain::{Digest, Error, ImageRef, Result};
use oci_spec::image::Descriptor;

use crate::{
    manifest::{self, Document, MANIFEST_MAX_BYTES, Manifest},
    platform::Platform,
    registry::{Repository, Trouble},
};

/// Policy I04: an index may hold indexes, and those no more.
const INDEX_DEPTH_MAX: usize = 2;

pub(crate) struct Resolved {
    pub(crate) repository: Repository,
    /// What the tag points to, an index or a manifest: Docker's RepoDigest.
    pub(crate) digest: Digest,
    /// The platform's manifest, byte for byte.
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
}

/// `reference` has a tag or a digest.
pub(crate) async fn resolve(endpoints: Vec<Repository>, reference: &ImageRef, platform: &Platform) -> Result<Resolved> {
    let mut missing = None;
    let mut unreachable = None;
    for repository in endpoints {
        match at(&repository, reference, platform).await {
            Ok((digest, bytes, manifest)) => return Ok(Resolved { repository, digest, bytes, manifest }),
            Err(trouble) if trouble.is_missing() => missing = Some(trouble),
            Err(trouble) if trouble.is_passing() => unreachable = Some(trouble),
            Err(trouble) => return Err(trouble.about(reference)),
        }
    }
    // A mirror that answered knows more than a hub that cannot be reached.
    Err(match (missing, unreachable) {
        (Some(_), Some(Trouble::Unreachable(_))) if reference.domain() == "docker.io" => denied(reference),
        (Some(trouble), _) | (None, Some(trouble)) => trouble.about(reference),
        (None, None) => Error::internal("a reference without an endpoint"),
    })
}

fn denied(reference: &ImageRef) -> Error {
    let name = reference.familiar_name();
    Error::Missing(format!(
        "pull access denied for {name}, repository does not exist or may require 'docker login': denied: requested access to \
         the resource is denied"
    ))
}

async fn at(
    repository: &Repository,
    reference: &ImageRef,
    platform: &Platform,
) -> Result<(Digest, Vec<u8>, Manifest), Trouble> {
    let wanted = reference.digest().map(Digest::as_str).or(reference.tag()).unwrap_or("latest");
    let (mut bytes, mut sent_as) = repository.manifest(wanted).await?;
    let digest = Digest::of(&bytes);
    if reference.digest().is_some_and(|d| *d != digest) {
        return Err(Error::invalid(format!("manifest verification failed for digest {wanted}")).into());
    }
    for _ in 0..=INDEX_DEPTH_MAX {
        let entries = match manifest::parse(&bytes, &sent_as)? {
            Document::Image(manifest) => return Ok((digest, bytes, manifest)),
            Document::Index(entries) => entries,
        };
        let chosen = platform.choose(&entries).ok_or_else(|| no_match(platform))?;
        (bytes, sent_as) = child(repository, chosen).await?;
    }
    Err(Error::invalid(format!("manifest lists are nested more than {INDEX_DEPTH_MAX} deep (policy I04)")).into())
}

pub(crate) fn no_match(platform: &Platform) -> Error {
    Error::Missing(format!("no matching manifest for {platform} in the manifest list entries"))
}

async fn child(repository: &Repository, descriptor: &Descriptor) -> Result<(Vec<u8>, String), Trouble> {
    let wanted = manifest::blob(descriptor)?;
    if wanted.size_bytes > MANIFEST_MAX_BYTES {
        return Err(Error::invalid("a manifest is larger than 4 MiB (policy I04)").into());
    }
    let (bytes, _) = repository.manifest(wanted.digest.as_str()).await?;
    if Digest::of(&bytes) != wanted.digest || bytes.len() as u64 != wanted.size_bytes {
        return Err(Error::invalid(format!("manifest verification failed for digest {}", wanted.digest)).into());
    }
    Ok((bytes, wanted.media_type))
}
