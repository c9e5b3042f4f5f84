//! Takes off compressions: of a layer one that no host can read (bzip2, xz), of what is copied into a container any.

use std::io::{self, Read as _};

use bytes::Bytes;
use domain::{Error, Result};
use futures::{StreamExt as _, stream, stream::BoxStream};
use tokio::sync::mpsc;

use super::{
    compression::{Compression, sniffed},
    inspect::unreadable,
    ration::{COPY, LAYER, Limits, Ration},
    receive::QueueReader,
};

const QUEUE: usize = 16;
const CHUNK_BYTES: usize = 64 << 10;

/// A layer as it may be stored.
pub(crate) async fn plain(stream: BoxStream<'static, Result<Bytes>>) -> Result<BoxStream<'static, Result<Bytes>>> {
    let (compression, whole) = sniff(stream).await?;
    Ok(if compression.media_type().is_some() { whole } else { decoded(whole) })
}

/// A plain archive, from one that may be compressed with whatever dockerd reads.
///
/// # Errors
/// Of `stream`; in the result, `Invalid` for damage and for what unpacks to too much (policy E08).
pub async fn unpacked(stream: BoxStream<'static, Result<Bytes>>) -> Result<BoxStream<'static, Result<Bytes>>> {
    let (compression, whole) = sniff(stream).await?;
    Ok(if compression == Compression::None { whole } else { within(whole, COPY) })
}

async fn sniff(
    mut stream: BoxStream<'static, Result<Bytes>>,
) -> Result<(Compression, BoxStream<'static, Result<Bytes>>)> {
    let mut start = Vec::new();
    while start.len() < 6 {
        match stream.next().await {
            Some(chunk) => start.extend_from_slice(&chunk?),
            None => break,
        }
    }
    let compression = Compression::sniff(&start);
    let whole = stream::iter([Ok(Bytes::from(start))]).chain(stream).boxed();
    Ok((compression, whole))
}

/// The tar itself of a layer, whatever it is compressed with.
pub(crate) fn decoded(stream: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
    within(stream, LAYER)
}

fn within(mut stream: BoxStream<'static, Result<Bytes>>, limits: Limits) -> BoxStream<'static, Result<Bytes>> {
    let (to_decoder, compressed) = mpsc::channel(QUEUE);
    let (to_reader, plain) = mpsc::channel(QUEUE);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = decode(QueueReader::new(compressed), limits, &to_reader) {
            let _ = to_reader.blocking_send(Err(unreadable(error)));
        }
    });
    tokio::spawn(async move {
        while let Some(chunk) = stream.next().await {
            if to_decoder.send(chunk.map_err(io::Error::other)).await.is_err() {
                break;
            }
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(plain).boxed()
}

fn decode(reader: QueueReader, limits: Limits, to: &mpsc::Sender<Result<Bytes, Error>>) -> io::Result<()> {
    let (counted, mut ration) = Ration::within(reader, limits);
    let (compression, buffered) = sniffed(counted)?;
    let mut decoder = compression.decoder(buffered)?;
    let mut buffer = vec![0u8; CHUNK_BYTES];
    loop {
        let n = decoder.read(&mut buffer)?;
        ration.give(n)?;
        if n == 0 || to.blocking_send(Ok(Bytes::copy_from_slice(&buffer[..n]))).is_err() {
            return Ok(());
        }
    }
}
