//! A layer as it goes to a registry: as it is stored, or gzipped on the way.

use std::io::{self, Read as _, Write as _};

use bytes::Bytes;
use domain::{Digest, Layer, Result};
use futures::{StreamExt as _, stream::BoxStream};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    layer::{QueueReader, sniffed, unreadable},
    media,
    store::BlobStore,
};

const QUEUE: usize = 8;
const CHUNK_BYTES: usize = 128 << 10;

/// A blob of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wire {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
}

/// Docker's manifests hold gzipped layers only.
pub(super) fn is_gzip(layer: &Layer) -> bool {
    layer.media_type.ends_with("gzip") || layer.media_type == media::LAYER_GZIP
}

/// The gzip of a stored layer, as it is read, and at its end what it was.
pub(super) async fn gzipped(
    store: &BlobStore,
    layer: &Layer,
) -> Result<(BoxStream<'static, Result<Bytes>>, tokio::sync::oneshot::Receiver<Wire>)> {
    let mut stored = store.read(&layer.digest).await?;
    let (to_decoder, queue) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        while let Some(chunk) = stored.next().await {
            if to_decoder.send(chunk.map_err(io::Error::other)).await.is_err() {
                break;
            }
        }
    });
    let (sender, chunks) = mpsc::channel::<Result<Bytes>>(QUEUE);
    let (told, wire) = tokio::sync::oneshot::channel();
    tokio::task::spawn_blocking(move || match compress(QueueReader::new(queue), &sender) {
        Ok(made) => drop(told.send(made)),
        Err(error) => drop(sender.blocking_send(Err(unreadable(error)))),
    });
    Ok((ReceiverStream::new(chunks).boxed(), wire))
}

/// The same layer gives the same bytes, so that a second push finds the first one's.
fn compress(reader: QueueReader, to: &mpsc::Sender<Result<Bytes>>) -> io::Result<Wire> {
    let (compression, buffered) = sniffed(reader)?;
    let mut plain = compression.decoder(buffered)?;
    let chunks = Chunks { to, pending: Vec::new(), hash: Sha256::new(), size_bytes: 0 };
    let mut encoder = flate2::write::GzEncoder::new(chunks, flate2::Compression::fast());
    let mut buffer = vec![0u8; CHUNK_BYTES];
    loop {
        let n = plain.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        encoder.write_all(&buffer[..n])?;
    }
    encoder.finish()?.finish()
}

struct Chunks<'a> {
    to: &'a mpsc::Sender<Result<Bytes>>,
    pending: Vec<u8>,
    hash: Sha256,
    size_bytes: u64,
}

impl Chunks<'_> {
    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.pending);
        self.hash.update(&chunk);
        self.size_bytes += chunk.len() as u64;
        self.to.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn finish(mut self) -> io::Result<Wire> {
        self.send()?;
        Ok(Wire { digest: Digest::from_sha256(&self.hash.finalize().into()), size_bytes: self.size_bytes })
    }
}

impl io::Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
