//! The routers of this host by VNI: made with the first container of a network, kept for a while after the last.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex as SyncMutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{Endpoint, Error, Result};
use tokio::sync::Mutex;

use super::{host::Host, router::Router};

/// Without a container for so long, a router goes. Making one takes a start ten times as long as finding it.
const IDLE: Duration = Duration::from_secs(300);

struct Slot {
    router: Mutex<Option<Arc<Router>>>,
    used_at: SyncMutex<Instant>,
}

pub(super) struct Routers {
    host: Arc<Host>,
    dir: PathBuf,
    slots: SyncMutex<HashMap<u32, Arc<Slot>>>,
}

impl Routers {
    /// Opens those that an earlier agent left; a broken one is taken down.
    pub(super) async fn open(host: Arc<Host>, dir: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&dir).map_err(|e| Error::because(format!("make {}", dir.display()), e))?;
        let routers = Self { host, dir, slots: SyncMutex::default() };
        for vni in routers.on_disk() {
            match Router::open(&routers.host, routers.dir_of(vni), vni).await {
                Ok(router) => *routers.slot(vni).router.lock().await = Some(Arc::new(router)),
                // It stays until a container needs the network; then it is replaced.
                Err(error) => tracing::warn!(vni, error = error.operator_text(), "router not taken up"),
            }
        }
        Ok(routers)
    }

    fn on_disk(&self) -> Vec<u32> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
    }

    fn dir_of(&self, vni: u32) -> PathBuf {
        self.dir.join(vni.to_string())
    }

    /// The router of the endpoint's network, made if need be. While the caller holds it, it stays.
    pub(super) async fn get(&self, endpoint: &Endpoint) -> Result<Arc<Router>> {
        let slot = self.slot(endpoint.vni);
        *slot.used_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let mut place = slot.router.lock().await;
        if let Some(router) = place.as_ref() {
            if router.fits(endpoint) {
                return Ok(router.clone());
            }
            // The network was made anew with another subnet; the old one had to be empty for that.
            router.remove(&self.host).await?;
            *place = None;
        }
        let router = Arc::new(Router::create(&self.host, self.dir_of(endpoint.vni), endpoint).await?);
        *place = Some(router.clone());
        Ok(router)
    }

    /// The networks that have a router here.
    pub(super) async fn present(&self) -> Vec<u32> {
        let slots: Vec<_> = self.lock().iter().map(|(vni, slot)| (*vni, slot.clone())).collect();
        let mut present = Vec::new();
        for (vni, slot) in slots {
            if slot.router.lock().await.is_some() {
                present.push(vni);
            }
        }
        present
    }

    /// The router, if it is there.
    pub(super) async fn find(&self, vni: u32) -> Option<Arc<Router>> {
        let slot = self.lock().get(&vni).cloned()?;
        let place = slot.router.lock().await;
        place.clone()
    }

    /// Removes routers that nobody has used for a while, and names them; called now and then.
    pub(super) async fn cull(&self) -> Vec<u32> {
        let mut gone = Vec::new();
        let slots: Vec<_> = self.lock().iter().map(|(vni, slot)| (*vni, slot.clone())).collect();
        for (vni, slot) in slots {
            if slot.used_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < IDLE {
                continue;
            }
            let mut place = slot.router.lock().await;
            let Some(router) = place.as_ref() else { continue };
            if Arc::strong_count(router) > 1 || router.is_used().await.unwrap_or(true) {
                continue;
            }
            match router.remove(&self.host).await {
                Ok(()) => {
                    *place = None;
                    gone.push(vni);
                }
                Err(error) => tracing::warn!(vni, error = error.operator_text(), "remove a router"),
            }
        }
        gone
    }

    fn slot(&self, vni: u32) -> Arc<Slot> {
        let new = || Arc::new(Slot { router: Mutex::default(), used_at: SyncMutex::new(Instant::now()) });
        self.lock().entry(vni).or_insert_with(new).clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
