//! A layer on its way into the store: written, hashed and inspected in one pass, memory bounded by a short queue.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use domain::{Digest, Error, Result};
use futures::{Stream, StreamExt as _};
use tokio::{sync::mpsc, task::JoinHandle};

use super::inspect::{Inspection, inspect};
use crate::store::{BlobStore, Upload};

/// Chunks between the writer and the inspector.
const QUEUE: usize = 16;

#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
    pub(crate) inspection: Inspection,
}

/// Nothing is visible unless the layer is sound and, where `expected` is given, has that digest and size.
pub(crate) async fn receive<S>(store: &BlobStore, stream: S, expected: Option<(&Digest, u64)>) -> Result<Received>
where
    S: Stream<Item = Result<Bytes>> + Send,
{
    let mut upload = store.upload().await?;
    let inspection = pass(stream, Some(&mut upload)).await?;
    let (digest, size_bytes) = upload.commit(expected, Some(&inspection)).await?;
    store.note_facts(&digest, &inspection).await?;
    Ok(Received { digest, size_bytes, inspection })
}

/// What is known of a stored layer; one whose facts were lost is read again.
pub(crate) async fn facts(store: &BlobStore, digest: &Digest) -> Result<Inspection> {
    if let Some(known) = store.facts(digest).await? {
        return Ok(known);
    }
    let found = pass(store.read(digest).await?, None).await?;
    store.note_facts(digest, &found).await?;
    Ok(found)
}

async fn pass<S>(stream: S, mut upload: Option<&mut Upload>) -> Result<Inspection>
where
    S: Stream<Item = Result<Bytes>> + Send,
{
    let (sender, inspector) = start_inspector();
    let mut stream = std::pin::pin!(stream);
    while let Some(chunk) = stream.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                let _ = sender.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
                return Err(error);
            }
        };
        if sender.send(Ok(chunk.clone())).await.is_err() {
            break; // it has found a reason to stop, and tells it below
        }
        if let Some(upload) = &mut upload {
            upload.write(chunk).await?;
        }
    }
    drop(sender);
    inspector.await.map_err(|e| Error::because("inspecting a layer", e))?
}

fn start_inspector() -> (mpsc::Sender<io::Result<Bytes>>, JoinHandle<Result<Inspection>>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (sender, tokio::task::spawn_blocking(move || inspect(QueueReader::new(receiver))))
}

/// The blocking end of the queue; the end of the queue is the end of the stream.
pub(crate) struct QueueReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl QueueReader {
    pub(crate) fn new(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { receiver, current: Bytes::new() }
    }
}

impl Read for QueueReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(next) => self.current = next?,
                None => return Ok(0),
            }
        }
        let n = buf.len().min(self.current.len());
        self.current.copy_to_slice(&mut buf[..n]);
        Ok(n)
    }
}
