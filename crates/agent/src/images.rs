//! Layers on this host: fetched from a frontend when a container needs them, unpacked once for all tenants.
//!
//! The blob is dropped after unpacking: the blob store has it. A frontend hands out a blob only for a container that is
//! placed on this very host, so the container's key goes along.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
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
    /// Chain ids that were seen; a guess that saves a call, never the truth.
    known: Mutex<HashSet<Digest>>,
    /// One unpacking of a layer at a time; others wait and find it done.
    busy: Mutex<HashMap<Digest, Arc<AsyncMutex<()>>>>,
}

impl Images {
    pub fn new(containerd: Containerd, channels: Channels, frontends: Vec<String>) -> Self {
        Self { containerd, channels, frontends, known: Mutex::default(), busy: Mutex::default() }
    }

    /// Every layer of `image` is unpacked; gives the topmost chain id, or `""` for an image without layers.
    pub async fn ensure(&self, tenant: TenantId, container: &ContainerId, image: &ImageRootfs) -> Result<String> {
        let chain = image.chain_ids();
        let Some(top) = chain.last() else { return Ok(String::new()) };
        if !lock(&self.known).contains(top) {
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
            known.remove(&name);
        }
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
            if lock(&self.known).contains(name) || self.containerd.has_layer(name.as_str()).await? {
                Ok(())
            } else {
                self.unpack(tenant, container, layer, name, parent).await
            }
        };
        // Nobody waits for it: the map must not grow with every layer ever seen.
        let mut busy = lock(&self.busy);
        if Arc::strong_count(&turn) <= 2 {
            busy.remove(name);
        }
        drop(busy);
        result?;
        lock(&self.known).insert(name.clone());
        Ok(())
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
