//! The inventory: all SQL of the system, over one pool of connections to PostgreSQL.
//!
//! `Inventory` speaks of what belongs to the data centre (hosts, tenants, credentials); [`TenantView`] is the only door to
//! a tenant's own rows, so that no query can forget whose they are.
//!
//! **Lock order.** Every statement that changes several rows locks the tenant's row first, then the host's, then
//! networks, containers and the rest. So all changes of one tenant stand in one line, quotas and free capacity are exact,
//! and two transactions never wait for each other in a circle. `tenants.revision` counts up in each of them.

mod blob;
mod build;
mod collect;
mod connect;
mod container;
mod credential;
mod event;
mod exec;
mod failure;
mod host;
mod image;
mod ingest;
mod network;
mod port;
mod quota;
mod reaper;
mod reserve;
mod sql;
mod tenant;
mod usage;
mod volume;

#[cfg(test)]
mod tests;

use domain::TenantId;
use sqlx::PgPool;

pub use blob::Blob;
pub use build::{BUILD_LABEL, BuildStep, CachedStep, NewStep, StepContainer};
pub use collect::{BlobClaim, GRACE_LEAST};
pub use container::{Claim, Container, ContainerSummary, Update};
pub use credential::{CredentialRecord, NamedCredential};
pub use event::{Listener, Recorded, Span, Window};
pub use image::{Image, LayerSizes, LayerUses, NewImage, Removed};
pub use network::{Member, Network, NetworkIpv6, NetworkState, NetworkVersion, PeerRecord, Sharing};
pub use port::{AddressVersion, Publication};
pub use quota::{Limit, QuotaChange, TenantQuota};
pub use reaper::{Lost, Unfinished};
pub use reserve::{Neighbour, Placing, Presence, ReserveError, Reserved};
pub use usage::Usage;
pub use volume::{RemovedVolume, Volume, VolumePlace, apart};

/// The data centre's records. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Inventory {
    pub(crate) pool: PgPool,
    pub(crate) bell: event::Bell,
}

/// The records of one tenant. Another tenant's object and a missing one look the same from here. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TenantView {
    pub(crate) pool: PgPool,
    pub(crate) bell: event::Bell,
    pub(crate) id: TenantId,
}

impl Inventory {
    /// The only door to a tenant's rows. No query yet: a tenant that does not exist has no rows.
    pub fn tenant(&self, id: TenantId) -> TenantView {
        TenantView { pool: self.pool.clone(), bell: self.bell.clone(), id }
    }
}

impl TenantView {
    pub fn id(&self) -> TenantId {
        self.id
    }
}
