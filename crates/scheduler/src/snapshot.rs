//! The hosts as this process last saw them.
//!
//! Renewed every second, after a refusal, and (the one host) after each of our own placements, so that the next decision
//! does not pick the same host for the same reason. Wrong by what other schedulers did meanwhile: the reservation finds out.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use domain::{Host, Result};
use inventory::Inventory;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const PERIOD: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    hosts: Arc<RwLock<Vec<Host>>>,
}

impl Snapshot {
    pub(crate) async fn load(inventory: &Inventory) -> Result<Self> {
        Ok(Self { hosts: Arc::new(RwLock::new(inventory.hosts().await?)) })
    }

    /// Reads the hosts under the lock: `decide` computes, and does not wait.
    pub(crate) fn with<T>(&self, decide: impl FnOnce(&[Host]) -> T) -> T {
        decide(&self.hosts.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn refresh(&self, inventory: &Inventory) -> Result<()> {
        let fresh = inventory.hosts().await?;
        *self.hosts.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// What a reservation answered about its host.
    pub(crate) fn note(&self, host: &Host) {
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        match hosts.iter_mut().find(|known| known.id == host.id) {
            Some(known) => known.clone_from(host),
            None => hosts.push(host.clone()),
        }
    }

    /// Until `stop`. One warning for each time that the database goes away.
    pub(crate) async fn keep_fresh(self, inventory: Inventory, stop: CancellationToken) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut well = true;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            match self.refresh(&inventory).await {
                Ok(()) => well = true,
                Err(error) if well => {
                    well = false;
                    tracing::warn!(error = error.operator_text(), "the snapshot of hosts grows old");
                }
                Err(_) => {}
            }
        }
    }
}
