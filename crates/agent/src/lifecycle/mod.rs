//! The life of containers on this host: one verb in each file.
//!
//! Rules that hold in all of them:
//! - a verb is idempotent by container id, and answers with the observation that it made;
//! - containerd's record is written before something is done that only the record could undo;
//! - a verb runs to its end once begun, also when its caller hangs up (see `grpc`).

mod adopt;

mod container;
mod create;
mod exec;
mod exit;
mod files;
mod freezer;
mod health;
mod kill;
mod launch;
mod layer;
mod pause;
mod plug;
mod remove;
mod resize;
mod restart_policy;
mod size;
mod start;
mod state;
mod stats;
mod stop;
mod streams;
mod top;
mod update;
mod volumes;
mod wait;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, RwLock},
};

use domain::{ContainerId, Error, Kind, Observation, Result, TenantId};
use tokio::sync::{Semaphore, watch};

pub use crate::layer::Shape;
pub use container::Container;
pub use exec::ExecStart;
pub use files::FileStream;
pub use layer::LayerState;
pub use state::{Accepted, Limits};
pub use streams::{Input, Inputs, Outputs};
pub use wait::Condition;

use crate::{
    Config, containerd::Containerd, idmap::Idmap, images::Images, measure::Samplers, network::Plane, report::Reports,
    volumes::Volumes,
};

/// Removed containers whose last observation is remembered, for a `wait` that comes again after its connection broke.
const GONE_MAX: usize = 4096;

/// What a verb did.
#[derive(Debug)]
pub struct Done {
    /// It was in that state before: Docker's 304.
    pub already: bool,
    pub observation: Observation,
}

impl Done {
    fn now(observation: Observation) -> Self {
        Self { already: false, observation }
    }

    fn already(observation: Observation) -> Self {
        Self { already: true, observation }
    }
}

/// All containers of this host, and what they stand on.
pub struct Engine {
    pub config: Config,
    pub containerd: Containerd,
    pub network: Arc<Plane>,
    pub reports: Arc<Reports>,
    pub images: Images,
    idmap: Idmap,
    volumes: Volumes,
    containers: RwLock<HashMap<ContainerId, Arc<Container>>>,
    gone: Mutex<VecDeque<Observation>>,
    /// Bounds how many tasks are made or deleted at once: more only makes each of them slower.
    slots: Semaphore,
    accounts: launch::AccountsCache,
    execs: exec::Execs,
    samplers: Arc<Samplers>,
    /// True once the containers of an earlier agent are known.
    adopted: watch::Sender<bool>,
}

impl Engine {
    pub fn new(
        config: Config,
        containerd: Containerd,
        network: Arc<Plane>,
        images: Images,
        reports: Arc<Reports>,
    ) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            idmap: Idmap::new(&config.run),
            volumes: Volumes::new(&config),
            config,
            containerd,
            network,
            reports,
            images,
            containers: RwLock::default(),
            gone: Mutex::default(),
            slots: Semaphore::new(2 * cores),
            accounts: launch::AccountsCache::default(),
            execs: exec::Execs::default(),
            samplers: Arc::default(),
            adopted: watch::Sender::new(false),
        })
    }

    /// The tenant's container of that id.
    ///
    /// # Errors
    /// `NotFound`, also for another tenant's; `Unavailable` before the agent knows what it has.
    pub fn find(&self, tenant: TenantId, id: &ContainerId) -> Result<Arc<Container>> {
        if !*self.adopted.borrow() {
            return Err(Error::unavailable("the host is starting, try again"));
        }
        let found = self.get(id).filter(|c| c.is_made() && c.accepted.tenant == tenant);
        found.ok_or_else(|| Error::not_found(Kind::Container, id.as_str()))
    }

    fn get(&self, id: &ContainerId) -> Option<Arc<Container>> {
        self.containers.read().unwrap_or_else(|p| p.into_inner()).get(id).cloned()
    }

    /// Every container, also one that is being made: a complete report must hold it, or its row would count as forgotten.
    pub fn all(&self) -> Vec<Arc<Container>> {
        let containers = self.containers.read().unwrap_or_else(|p| p.into_inner());
        containers.values().cloned().collect()
    }

    /// The one in the map under this id: `container`, unless there was one before.
    fn insert(&self, container: Container) -> Arc<Container> {
        let mut containers = self.containers.write().unwrap_or_else(|p| p.into_inner());
        containers.entry(container.accepted.id.clone()).or_insert_with(|| Arc::new(container)).clone()
    }

    fn take_away(&self, container: &Container) {
        self.containers.write().unwrap_or_else(|p| p.into_inner()).remove(&container.accepted.id);
    }

    /// Nothing of it is left for anybody to see; who waits for the removal goes on.
    fn announce_gone(&self, container: &Container, observation: &Observation) {
        self.take_away(container);
        container.close_starts();
        let mut gone = self.gone.lock().unwrap_or_else(|p| p.into_inner());
        if gone.len() >= GONE_MAX {
            gone.pop_front();
        }
        gone.push_back(observation.clone());
    }

    /// The last observation of a container that was removed not long ago.
    fn last_seen(&self, tenant: TenantId, id: &ContainerId) -> Option<Observation> {
        let gone = self.gone.lock().unwrap_or_else(|p| p.into_inner());
        gone.iter().rev().find(|o| o.tenant == tenant && o.container == *id).cloned()
    }

    /// Writes the newest state to the record. Earlier callers' changes are part of it, so a late call finds nothing to do.
    async fn store(&self, container: &Container) -> Result<()> {
        let mut stored = container.stored.lock().await;
        let state = container.state();
        if *stored >= state.observation.generation || state.observation.removed {
            return Ok(());
        }
        self.containerd.update_record(container.id(), rpc::to_json(&state), None).await?;
        *stored = state.observation.generation;
        Ok(())
    }

    /// As [`store`](Self::store), without waiting: for changes that containerd could tell us again.
    fn store_later(self: &Arc<Self>, container: &Arc<Container>) {
        let (engine, container) = (self.clone(), container.clone());
        tokio::spawn(async move {
            if let Err(error) = engine.store(&container).await {
                tracing::warn!(container = container.id(), error = error.operator_text(), "state not stored");
            }
        });
    }
}
