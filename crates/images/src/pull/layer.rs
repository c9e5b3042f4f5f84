//! One layer of a pull: known, proved, or fetched.
//!
//! That the store holds a blob gives a tenant nothing (policy I06): without a right of its own it must show that a
//! registry gives it the blob. A look (HEAD) suffices at a registry that we had this very blob from; any other could
//! claim to have it, so there it is transferred and hashed again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::{Digest, Error, ImageRef, Layer, Result};
use futures::{Stream, StreamExt as _};
use inventory::{BlobClaim, Inventory, TenantView};

use super::flight::{Flight, Flights};
use crate::{
    layer::{self, Inspection},
    manifest::Blob,
    progress::Reporter,
    registry::{self, Repository},
    store::BlobStore,
};

/// Between two byte counts of one layer.
const TICK: Duration = Duration::from_millis(100);

pub(crate) struct Fetching<'a> {
    pub(crate) inventory: &'a Inventory,
    pub(crate) store: &'a BlobStore,
    pub(crate) flights: &'a Flights,
    pub(crate) tenant: &'a TenantView,
    pub(crate) repository: &'a Repository,
    pub(crate) reference: &'a ImageRef,
    pub(crate) reporter: &'a Reporter,
}

/// A layer that is in the store, and that the tenant may use.
#[derive(Debug, Clone)]
pub(crate) struct Obtained {
    pub(crate) layer: Layer,
    pub(crate) diff_bytes: u64,
}

impl Fetching<'_> {
    pub(crate) async fn obtain(&self, blob: &Blob, diff_id: &Digest) -> Result<Obtained> {
        let id = short(&blob.digest);
        let inspection = if self.owns(blob).await? {
            self.reporter.status(id, "Already exists").await?;
            layer::facts(self.store, &blob.digest).await?
        } else {
            let inspection = self.fetch_or_prove(blob, id).await?;
            self.reporter.status(id, "Download complete").await?;
            self.reporter.status(id, "Pull complete").await?;
            inspection
        };
        if inspection.diff_id != *diff_id {
            return Err(Error::invalid("layers from manifest don't match image configuration"));
        }
        let layer = Layer {
            digest: blob.digest.clone(),
            diff_id: inspection.diff_id,
            size_bytes: blob.size_bytes,
            media_type: inspection.compression.media_type().unwrap_or(&blob.media_type).to_owned(),
        };
        Ok(Obtained { layer, diff_bytes: inspection.diff_bytes })
    }

    /// This tenant has the right already, and the store the blob.
    pub(crate) async fn owns(&self, blob: &Blob) -> Result<bool> {
        Ok(self.stored(blob).await? && self.tenant.has_blob_right(&blob.digest).await?)
    }

    async fn stored(&self, blob: &Blob) -> Result<bool> {
        Ok(self.store.size(&blob.digest).await? == Some(blob.size_bytes))
    }

    async fn fetch_or_prove(&self, blob: &Blob, id: &str) -> Result<Inspection> {
        let flight = self.flights.board(&blob.digest);
        let _turn = self.wait_for_turn(&flight, blob, id).await;
        if !self.stored(blob).await? {
            return self.fetch(&flight, blob, id).await;
        }
        // Others' references may go at any moment: from here on it stays for us.
        self.claim(blob).await?;
        if !self.stored(blob).await? {
            return self.fetch(&flight, blob, id).await;
        }
        if self.store.came_from(&blob.digest, self.reference.domain()).await? {
            match self.repository.shows_blob(&blob.digest).await {
                Ok(()) => return layer::facts(self.store, &blob.digest).await,
                // The transfer knows how to try again.
                Err(trouble) if trouble.is_passing() => {}
                Err(trouble) => return Err(trouble.about(self.reference)),
            }
        }
        self.fetch(&flight, blob, id).await
    }

    async fn claim(&self, blob: &Blob) -> Result<()> {
        let claim = BlobClaim { digest: blob.digest.clone(), size_bytes: blob.size_bytes, diff: None };
        self.inventory.claim_blobs(&[claim]).await
    }

    /// While another pull fetches the blob, its bytes are shown as ours.
    async fn wait_for_turn<'f>(&self, flight: &'f Flight, blob: &Blob, id: &str) -> tokio::sync::MutexGuard<'f, ()> {
        let mut turn = std::pin::pin!(flight.turn.lock());
        loop {
            tokio::select! {
                biased;
                guard = &mut turn => return guard,
                () = tokio::time::sleep(TICK) => {
                    self.reporter.bytes(id, "Downloading", flight.received(), blob.size_bytes);
                }
            }
        }
    }

    async fn fetch(&self, flight: &Flight, blob: &Blob, id: &str) -> Result<Inspection> {
        let bytes = registry::fetch(self.repository, self.reference, blob);
        let counted = self.counted(bytes, flight, blob, id);
        let received = layer::receive(self.store, counted, Some((&blob.digest, blob.size_bytes))).await?;
        self.reporter.status(id, "Verifying Checksum").await?;
        self.store.note_origin(&blob.digest, self.reference.domain()).await?;
        Ok(received.inspection)
    }

    fn counted<'a>(
        &'a self,
        bytes: impl Stream<Item = Result<Bytes>> + Send + 'a,
        flight: &'a Flight,
        blob: &'a Blob,
        id: &'a str,
    ) -> impl Stream<Item = Result<Bytes>> + Send + 'a {
        let (mut received, mut told) = (0u64, None::<Instant>);
        bytes.inspect(move |chunk| {
            received += chunk.as_ref().map_or(0, |c| c.len() as u64);
            flight.set_received(received);
            if told.is_none_or(|at| at.elapsed() >= TICK) || received == blob.size_bytes {
                told = Some(Instant::now());
                self.reporter.bytes(id, "Downloading", received, blob.size_bytes);
            }
        })
    }
}

/// Twelve digits, as Docker shows layers.
pub(crate) fn short(digest: &Digest) -> &str {
    &digest.hex()[..12]
}
