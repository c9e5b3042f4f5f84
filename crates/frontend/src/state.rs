//! What every handler can reach. Cheap to clone; nothing in it is the only copy of anything.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{Error, Result};
use identity::{Gate, Tenant};
use images::{BlobStore, Images, Registries};
use inventory::{Container, Inventory, TenantView};
use rpc::{Channels, v1};
use tokio_util::sync::CancellationToken;

use crate::{config::Config, events::Tail, handlers::system::info::KnownCapacity, snapshot::Snapshots};

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
    /// Index of the scheduler that answered last.
    pub(crate) scheduler: AtomicUsize,
    pub(crate) capacity: KnownCapacity,
    pub(crate) snapshots: Snapshots,
    /// Of the log of events, for all who listen.
    pub(crate) tail: Arc<Tail>,
    /// The process is to end: streams without an end of their own end now.
    pub(crate) stop: CancellationToken,
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

    /// The layers of the container's host; as [`agent`](Self::agent).
    pub(crate) fn layers(&self, container: &Container) -> Result<rpc::Layers> {
        self.agent(container)?;
        self.channels.layers(container.host, &container.host_endpoint)
    }

    /// As [`agent`](Self::agent), for the container's files.
    pub(crate) fn file_service(&self, container: &Container) -> Result<rpc::Files> {
        self.agent(container)?;
        self.channels.files(container.host, &container.host_endpoint)
    }

    /// Asks the schedulers in turn, from the one that answered last, until one can be reached.
    pub(crate) async fn place(&self, container_json: Vec<u8>, deadline: Duration) -> Result<v1::PlaceReply> {
        let endpoints = &self.config.schedulers;
        let message = v1::PlaceRequest { container_json: container_json.into() };
        let first = self.scheduler.load(Ordering::Relaxed);
        let mut unreachable = Error::unavailable("no scheduler is configured");
        for index in (0..endpoints.len()).map(|i| (first + i) % endpoints.len()) {
            let mut request = tonic::Request::new(message.clone());
            request.set_timeout(deadline);
            let answer = self.channels.scheduler(&endpoints[index])?.place(request).await;
            match answer.map_err(rpc::status::from_status) {
                Ok(reply) => {
                    self.scheduler.store(index, Ordering::Relaxed);
                    return Ok(reply.into_inner());
                }
                Err(error @ Error::Unavailable { .. }) => unreachable = error,
                Err(error) => return Err(error),
            }
        }
        Err(unreachable)
    }
}
