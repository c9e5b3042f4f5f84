//! The readers of foreign bytes by themselves, without a store or a tenant: what fuzzing and its everyday test call.
//!
//! Any bytes may come in; the outcome is a value or a `domain::Error` that a tenant may read, and never more memory than the
//! limits of each reader allow.

use domain::{Digest, Result};

use crate::{config::Config, layer, manifest, registry};

/// A layer, compressed or not: its diff id and its plain size.
///
/// # Errors
/// `Invalid` where it is no sound tar.
pub fn layer(bytes: &[u8]) -> Result<(Digest, u64)> {
    layer::inspect(bytes).map(|seen| (seen.diff_id, seen.diff_bytes))
}

/// How many files and links an uploaded archive (`docker load`) holds.
///
/// # Errors
/// `Invalid` where it is no sound archive, or names what is outside of it.
pub async fn archive(bytes: &[u8]) -> Result<usize> {
    crate::archive::entries(bytes).await
}

/// A manifest, a list of manifests or an image's config.
///
/// # Errors
/// `Invalid`, `Forbidden` or `Unsupported`, each with its reason.
pub fn manifest(bytes: &[u8], content_type: &str) -> Result<()> {
    manifest::parse(bytes, content_type).map(|_| ())
}

/// # Errors
/// `Invalid`, with its reason.
pub fn config(bytes: &[u8]) -> Result<()> {
    Config::parse(bytes).map(|_| ())
}

/// How many challenges a registry's `WWW-Authenticate` holds.
pub fn challenges(header: &str) -> usize {
    registry::challenges(header)
}
