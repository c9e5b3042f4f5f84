//! What every handler can reach. Cheap to clone; nothing in it is the only copy of anything.

use std::{ops::Deref, sync::Arc};

use domain::{Error, Result};
use identity::{Gate, Tenant};
use images::{BlobStore, Images, Registries};
use inventory::{Container, Inventory, TenantView};
use rpc::Channels;

use crate::config::Config;

use crate::{config::Config};

/// Shared by all requests of this frontend.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) inventory: Inventory,
    pub(crate) gate: Gate,
    pub(crate) channels: Channels,
    pub(crate) images: Images,
    pub(crate) registries: Registries,
    pub(crate) blobs: BlobStore,
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The rows of `tenant`, and nobody else's.
    pub(crate) fn rows(&self, tenant: &Tenant) -> TenantView {
        self.inventory.tenant(tenant.id())
    }

    /// The agent of the container's host; 503 at once where the host is known to be silent.
    pub(crate) fn agent(&self, container: &Container) -> Result<rpc::Agent> {
        if !container.host_reachable {
            return Err(Error::unavailable(format!("the host of container {} is unreachable", container.id)));
        }
        self.channels.agent(container.host, &container.host_endpoint)
    }
}
