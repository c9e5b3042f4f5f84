//! Layers on this host: fetched from a frontend when a container needs them, unpacked once for all tenants.
//!
//! The blob is dropped after unpacking: the blob store has it. A frontend hands out a blob only for a container that is
//! placed on this very host, so the container's key goes along.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{ContainerId, Digest, Error, ImageRootfs, Layer, Result, TenantId};
use futures::{Stream, StreamExt};
use rpc::{Channels, v1};
use tokio::sync::Mutex as AsyncMutex;

use crate::containerd::Containerd;

pub struct Images {
    containerd: Containerd,
    channels: Channels,
    /// `https://address:port` of the frontends' internal listeners.
    frontends: Vec<String>,
    /// Chain ids that were seen or used.
    known: Arc<Mutex<HashMap<Digest, Known>>>,
    started: Instant,
    /// One unpacking of a layer at a time; others wait and find it done.
    busy: Mutex<HashMap<Digest, Arc<AsyncMutex<()>>>>,
}

/// A layer of this host.
struct Known {
    /// It is unpacked: a guess that saves a call, never the truth.
    present: bool,
    /// Creates under way that need it.
    holders: usize,
    used_at: Instant,
}

/// Layers that are not evicted while this lives.
pub struct Held {
    known: Arc<Mutex<HashMap<Digest, Known>>>,
    chain: Vec<Digest>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut known = lock(&self.known);
        for name in &self.chain {
            if let Some(layer) = known.get_mut(name) {
                layer.holders -= 1;
                layer.used_at = Instant::now();
            }
        }
    }
}

impl Images {
    pub fn new(containerd: Containerd, channels: Channels, frontends: Vec<String>) -> Self {
        Self { containerd, channels, frontends, known: Arc::default(), started: Instant::now(), busy: Mutex::default() }
    }

    /// Keeps the layers of `image` from eviction, those that are there and those that will be.
    pub fn hold(&self, image: &ImageRootfs) -> Held {
        let chain = image.chain_ids();
        let mut known = lock(&self.known);
        for name in &chain {
            let now = Instant::now();
            let layer = known.entry(name.clone()).or_insert(Known { present: false, holders: 0, used_at: now });
            layer.holders += 1;
        }
        drop(known);
        Held { known: Arc::clone(&self.known), chain }
    }

    /// For how long nobody has used a layer; None while somebody does.
    pub fn idle(&self, name: &Digest) -> Option<Duration> {
        match lock(&self.known).get(name) {
            Some(layer) if layer.holders > 0 => None,
            Some(layer) => Some(layer.used_at.elapsed()),
            None => Some(self.started.elapsed()),
        }
    }

    /// Removes an unpacked layer, unless something stands on it, or has used it within `least_idle`. A create that comes in
    /// the middle waits for its turn, and unpacks it anew.
    pub async fn evict(&self, name: &Digest, least_idle: Duration) -> Result<bool> {
        let turn = lock(&self.busy).entry(name.clone()).or_default().clone();
        let evicted = {
            let _turn = turn.lock().await;
            if self.doubt_unused(name, least_idle) {
                self.containerd.remove_unused_snapshot(name.as_str()).await
            } else {
                Ok(false)
            }
        };
        self.done_with(name, &turn);
        if matches!(evicted, Ok(true)) {
            lock(&self.known).retain(|known, layer| known != name || layer.holders > 0);
        }
        evicted
    }

    /// From here on nobody counts on the layer without a look. False: it is used.
    fn doubt_unused(&self, name: &Digest, least_idle: Duration) -> bool {
        match lock(&self.known).get_mut(name) {
            Some(layer) if layer.holders > 0 || layer.used_at.elapsed() < least_idle => false,
            Some(layer) => {
                layer.present = false;
                true
            }
            None => self.started.elapsed() >= least_idle,
        }
    }

    /// Every layer of `image` is unpacked; gives the topmost chain id, or `""` for an image without layers.
    pub async fn ensure(&self, tenant: TenantId, container: &ContainerId, image: &ImageRootfs) -> Result<String> {
        let chain = image.chain_ids();
        let Some(top) = chain.last() else { return Ok(String::new()) };
        let _held = self.hold(image);
        if !self.is_present(top) {
            let mut parent = String::new();
            for (layer, name) in image.layers.iter().zip(&chain) {
                self.ensure_layer(tenant, container, layer, name, &parent).await?;
                parent = name.to_string();
            }
        }
        Ok(top.to_string())
    }

    /// The guess was wrong: somebody removed the layers behind our back.
    pub fn forget(&self, image: &ImageRootfs) {
        let mut known = lock(&self.known);
        for name in image.chain_ids() {
            if let Some(layer) = known.get_mut(&name) {
                layer.present = false;
            }
        }
    }

    fn is_present(&self, name: &Digest) -> bool {
        lock(&self.known).get(name).is_some_and(|layer| layer.present)
    }

    async fn ensure_layer(
        &self,
        tenant: TenantId,
        container: &ContainerId,
        layer: &Layer,
        name: &Digest,
        parent: &str,
    ) -> Result<()> {
        let turn = lock(&self.busy).entry(name.clone()).or_default().clone();
        let result = {
            let _turn = turn.lock().await;
            if self.is_present(name) || self.containerd.has_layer(name.as_str()).await? {
                Ok(())
            } else {
                self.unpack(tenant, container, layer, name, parent).await
            }
        };
        self.done_with(name, &turn);
        result?;
        if let Some(layer) = lock(&self.known).get_mut(name) {
            layer.present = true;
        }
        Ok(())
    }

    /// Where nobody waits for it: the map must not grow with every layer ever seen.
    fn done_with(&self, name: &Digest, turn: &Arc<AsyncMutex<()>>) {
        let mut busy = lock(&self.busy);
        if Arc::strong_count(turn) <= 2 {
            busy.remove(name);
        }
    }

    async fn unpack(
        &self,
        tenant: TenantId,
        container: &ContainerId,
        layer: &Layer,
        name: &Digest,
        parent: &str,
    ) -> Result<()> {
        let started = std::time::Instant::now();
        let body = self.fetch(tenant, container.clone(), layer).await?;
        // The lease keeps the blob between write and apply, and frees it if we die.
        self.containerd
            .leased("unpack", |containerd| async move {
                containerd.write_blob(layer, body).await?;
                let unpacked = unpack_blob(&containerd, layer, name, parent).await;
                containerd.delete_blob(&layer.digest).await?;
                unpacked
            })
            .await?;
        tracing::info!(layer = %layer.digest, bytes = layer.size_bytes, ms = started.elapsed().as_millis(), "unpacked");
        Ok(())
    }

    /// From the first frontend that answers.
    async fn fetch(
        &self,
        tenant: TenantId,
        container: ContainerId,
        layer: &Layer,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + 'static> {
        let mut last = Error::unavailable("no frontend can be reached for the image's layers");
        for endpoint in &self.frontends {
            let request = v1::FetchRequest {
                container: Some(rpc::container_key(tenant, &container)),
                digest: layer.digest.to_string(),
            };
            match self.channels.blobs(endpoint)?.fetch(request).await {
                Ok(stream) => {
                    return Ok(stream.into_inner().map(|c| c.map(|c| c.data).map_err(rpc::status::from_status)));
                }
                Err(status) => last = rpc::status::from_status(status),
            }
        }
        Err(last)
    }
}

/// Into a snapshot of its own, and under its name only after the content was verified.
async fn unpack_blob(containerd: &Containerd, layer: &Layer, name: &Digest, parent: &str) -> Result<()> {
    let key = format!("unpack-{}", uuid::Uuid::new_v4());
    let mounts = containerd.prepare(&key, parent).await?;
    let mounts = mounts.ok_or_else(|| Error::internal(format!("layer {parent} vanished")))?;
    let applied = containerd.apply(layer, mounts).await.and_then(|got| match got == layer.diff_id {
        true => Ok(()),
        false => Err(Error::internal(format!("layer {} unpacks to {got}, not {}", layer.digest, layer.diff_id))),
    });
    match applied {
        Ok(()) => containerd.commit(&key, name.as_str()).await,
        Err(error) => {
            containerd.remove_snapshot(&key).await?;
            Err(error)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
