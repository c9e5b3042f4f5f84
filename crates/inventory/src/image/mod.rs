//! A tenant's catalogue of images.
//!
//! The same config is one image, whatever names lead to it; two tenants with the same image have a row each, and share
//! only the blobs.

mod find;
mod list;
mod manifest;
mod put;
mod release;
mod remove;
mod sizes;
mod tag;

use chrono::{DateTime, Utc};
use domain::{Digest, Layer};

pub(crate) use release::release;
pub use remove::Removed;
pub use sizes::{LayerSizes, LayerUses};

/// What a pull, a load or an import stores.
#[derive(Debug, Clone)]
pub struct NewImage {
    /// The config's digest.
    pub id: Digest,
    pub config: Vec<u8>,
    /// From the bottom up.
    pub layers: Vec<Layer>,
    pub size_bytes: u64,
    pub architecture: String,
    pub os: String,
    pub created_at: Option<DateTime<Utc>>,
    /// Familiar repository and tag; a tag that leads elsewhere is moved.
    pub tags: Vec<(String, String)>,
    /// Familiar repository, manifest digest, the manifest byte for byte.
    pub digests: Vec<(String, Digest, Vec<u8>)>,
    /// All blobs with their sizes in bytes: they are in the store, and the tenant gets its right to them.
    pub blobs: Vec<(Digest, u64)>,
}

#[derive(Debug, Clone)]
pub struct Image {
    pub id: Digest,
    pub config: Vec<u8>,
    pub layers: Vec<Layer>,
    pub size_bytes: u64,
    pub architecture: String,
    pub os: String,
    /// As the config says.
    pub created_at: Option<DateTime<Utc>>,
    pub stored_at: DateTime<Utc>,
    /// Familiar repository and tag.
    pub tags: Vec<(String, String)>,
    /// When the newest of its tags was set.
    pub tagged_at: Option<DateTime<Utc>>,
    /// Familiar repository and manifest digest.
    pub digests: Vec<(String, Digest)>,
    /// How many containers of the tenant were made from it.
    pub containers: i64,
}
