//! One blob of a push: there already, mounted from a neighbour, or sent; tried again when the registry falters.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{Digest, ImageRef, Layer, Result};
use futures::{StreamExt as _, stream::BoxStream};
use inventory::{Image, TenantView};

use super::{
    Holder,
    wire::{self, Wire},
};
use crate::{
    Images,
    progress::Reporter,
    registry::{Mounted, Repository, Session, Trouble},
};

const TRIES: u32 = 5;
/// Doubles with each try: 0.5 + 1 + 2 + 4 s.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Between two byte counts of one layer.
const TICK: Duration = Duration::from_millis(100);
/// Repositories that are asked for a blob before it is sent.
const MOUNTS_MAX: usize = 3;

/// One push under way.
pub(super) struct Sending<'a> {
    pub(super) images: &'a Images,
    pub(super) tenant: &'a TenantView,
    pub(super) target: &'a Repository,
    pub(super) repository: &'a ImageRef,
    pub(super) reporter: &'a Reporter,
}

impl Sending<'_> {
    /// About a layer: dockerd names them by their diff ids here.
    pub(super) async fn say(&self, layer: &Layer, text: impl Into<String>) -> Result<()> {
        self.reporter.status(&layer.diff_id.hex()[..12], text).await
    }

    /// `as_stored`: the manifest names the stored blob; else a gzip of it.
    pub(super) async fn layer(&self, layer: &Layer, as_stored: bool, known: &[Holder]) -> Result<Wire> {
        let store = &self.images.store;
        let as_stored = as_stored || wire::is_gzip(layer);
        let wire = match as_stored {
            true => Some(Wire { digest: layer.digest.clone(), size_bytes: layer.size_bytes }),
            false => store.gzip_of(&layer.digest).await?,
        };
        let mut session = None;
        if let Some(wire) = wire {
            if self.retried(|| self.target.has_blob(&wire.digest)).await? {
                self.say(layer, "Layer already exists").await?;
                return Ok(wire);
            }
            match self.mounted(&wire.digest, known).await? {
                Ok(from) => {
                    self.say(layer, format!("Mounted from {from}")).await?;
                    return Ok(wire);
                }
                Err(begun) => session = begun,
            }
        }
        let sent = self.send(layer, as_stored, session).await?;
        if as_stored {
            store.note_origin(&sent.digest, self.repository.domain()).await?;
        } else {
            store.note_gzip(&layer.digest, &sent).await?;
        }
        self.say(layer, "Pushed").await?;
        Ok(sent)
    }

    /// The repository that gave it, or the upload that a registry began instead.
    async fn mounted(&self, digest: &Digest, known: &[Holder]) -> Result<Result<String, Option<Session>>> {
        let holders = known.iter().filter(|(_, digests)| digests.contains(digest)).map(|(path, _)| path);
        let mut begun = None;
        for path in holders.take(MOUNTS_MAX) {
            // What may not be read there cannot be mounted either: it is no reason to fail.
            match self.target.mount(digest, path).await {
                Ok(Mounted::Done) => return Ok(Ok(path.clone())),
                Ok(Mounted::Upload(session)) => begun = Some(session),
                Err(Trouble::Ours(error)) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(Err(begun))
    }

    async fn send(&self, layer: &Layer, as_stored: bool, mut session: Option<Session>) -> Result<Wire> {
        let mut failed = 0;
        loop {
            let trouble = match self.try_send(layer, as_stored, session.take()).await {
                Ok(wire) => return Ok(wire),
                Err(trouble) => trouble,
            };
            failed += 1;
            // A token may end in the middle of a long upload.
            let passing = trouble.is_passing() || (failed == 1 && trouble.is_unauthorized());
            if !passing || failed >= TRIES {
                return Err(trouble.about_push());
            }
            self.pause(failed, &layer.diff_id.hex()[..12]).await?;
        }
    }

    async fn try_send(&self, layer: &Layer, as_stored: bool, session: Option<Session>) -> Result<Wire, Trouble> {
        let session = match session {
            Some(session) => session,
            None => self.target.begin_upload().await?,
        };
        let store = &self.images.store;
        // An error of our own ends the body in the middle; it tells more than the registry's complaint about that.
        let broken = Arc::new(std::sync::Mutex::new(None));
        let (bytes, made) = match as_stored {
            true => (store.read(&layer.digest).await?, None),
            false => wire::gzipped(store, layer).await.map(|(bytes, made)| (bytes, Some(made)))?,
        };
        let (counted, sent) = self.counted(bytes, layer, as_stored, Arc::clone(&broken));
        let uploaded = self.target.upload(session, counted).await;
        if let Some(error) = broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(Trouble::Ours(error));
        }
        let session = uploaded?;
        let wire = match made {
            None => Wire { digest: layer.digest.clone(), size_bytes: sent.load(Ordering::Relaxed) },
            Some(made) => made.await.map_err(|e| domain::Error::because("gzip of a layer", e))?,
        };
        self.target.finish_upload(session, &wire.digest, Bytes::new()).await?;
        Ok(wire)
    }

    fn counted(
        &self,
        bytes: BoxStream<'static, Result<Bytes>>,
        layer: &Layer,
        as_stored: bool,
        broken: Arc<std::sync::Mutex<Option<domain::Error>>>,
    ) -> (BoxStream<'static, Result<Bytes>>, Arc<AtomicU64>) {
        let sent = Arc::new(AtomicU64::new(0));
        let (count, reporter, id) = (Arc::clone(&sent), self.reporter.clone(), layer.diff_id.hex()[..12].to_owned());
        // How large a gzip will be, nobody knows.
        let total = if as_stored { layer.size_bytes } else { 0 };
        let mut told = None::<Instant>;
        let counted = bytes.map(move |chunk| {
            let chunk = chunk.map_err(|error| {
                let text = error.to_string();
                *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                domain::Error::internal(text)
            })?;
            let now = count.fetch_add(chunk.len() as u64, Ordering::Relaxed) + chunk.len() as u64;
            if told.is_none_or(|at| at.elapsed() >= TICK) || now == total {
                told = Some(Instant::now());
                reporter.bytes(&id, "Pushing", now, total);
            }
            Ok(chunk)
        });
        (counted.boxed(), sent)
    }

    pub(super) async fn config(&self, image: &Image) -> Result<()> {
        if self.retried(|| self.target.has_blob(&image.id)).await? {
            return Ok(());
        }
        self.retried(|| async {
            let session = self.target.begin_upload().await?;
            self.target.finish_upload(session, &image.id, image.config.clone().into()).await
        })
        .await
    }

    /// The image has its name there, and the tenant's image its digest.
    pub(super) async fn name(&self, tag: &str, media_type: &str, bytes: Vec<u8>, image: &Image) -> Result<()> {
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        self.retried(|| self.target.put_manifest(tag, media_type, bytes.clone())).await?;
        self.tenant.add_digest(&image.id, &self.repository.familiar_name(), &digest, &bytes).await?;
        self.reporter.say(format!("{tag}: digest: {digest} size: {size}")).await?;
        self.reporter.pushed(tag, &digest, size).await
    }

    async fn retried<T, F: Future<Output = Result<T, Trouble>>>(&self, what: impl Fn() -> F) -> Result<T> {
        let mut failed = 0;
        loop {
            match what().await {
                Err(trouble) if trouble.is_passing() && failed + 1 < TRIES => {
                    failed += 1;
                    tokio::time::sleep(pause(failed)).await;
                }
                outcome => return outcome.map_err(Trouble::about_push),
            }
        }
    }

    /// dockerd counts seconds down; one line is enough for ours.
    async fn pause(&self, failed: u32, id: &str) -> Result<()> {
        let pause = pause(failed);
        self.reporter.status(id, format!("Retrying in {} seconds", pause.as_secs().max(1))).await?;
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

fn pause(failed: u32) -> Duration {
    FIRST_PAUSE * 2u32.pow(failed - 1)
}
