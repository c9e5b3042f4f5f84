//! Images: registries, the blob store, manifests, archives, and what of them a tenant's catalogue gets to know.
//!
//! Blobs are stored once for all tenants; what a tenant may see of them is in the inventory, and is written in one
//! transaction at the end of a pull, load or import. Until then nothing is visible, so a failure leaves nothing but bytes
//! that nobody refers to.
//!
//! The registry client is our own (see [`registry`]): each resolved address has to be judged and pinned.

#![recursion_limit = "256"]

mod archive;
mod auth;
mod built;
mod collect;
mod commit;
mod config;
mod distribution;
mod fetch;
pub mod foreign;
mod import;
mod layer;
mod manifest;
mod media;
mod platform;
mod progress;
mod pull;
mod push;
mod registry;
mod save;
mod store;
pub mod tree;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use inventory::Inventory;

pub use archive::Loaded;
pub use auth::{RegistryAuth, Secret};
pub use collect::Collected;
pub use commit::{NewChild, StoredLayer};
pub use distribution::Distribution;
pub use layer::unpacked;
pub use platform::Platform;
pub use progress::Progress;
pub use pull::Pulled;
pub use registry::{Found, Registries, RegistrySettings, login};
pub use save::{SAVED_MANIFEST_TYPE, saved_manifest};
pub use store::BlobStore;

/// What can be done with images. Cheap to clone; all clones share the transfers that are under way.
#[derive(Clone)]
pub struct Images {
    inventory: Inventory,
    store: BlobStore,
    registries: Registries,
    flights: Arc<pull::Flights>,
    indexes: Arc<tree::Indexes>,
}

impl Images {
    /// `store`: what `inventory` speaks of.
    pub fn new(inventory: Inventory, store: BlobStore, registries: Registries) -> Self {
        let store = store.with_ledger(inventory.clone());
        Self { inventory, store, registries, flights: Arc::default(), indexes: Arc::default() }
    }

    /// Bytes of each layer's uncompressed tar.
    pub async fn layer_sizes(&self, layers: &[domain::Layer]) -> domain::Result<Vec<u64>> {
        let mut sizes = Vec::new();
        for layer in layers {
            sizes.push(layer::facts(&self.store, &layer.digest).await?.diff_bytes);
        }
        Ok(sizes)
    }
}
