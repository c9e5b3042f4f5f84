//! Takes off a compression that no host can read (bzip2, xz); everything else passes as it is.

use std::io::{self, Read as _};

use bytes::Bytes;
use domain::{Error, Result};
use futures::{StreamExt as _, stream, stream::BoxStream};
use tokio::sync::mpsc;

use super::{
    compression::{Compression, sniffed},
    inspect::unreadable,
    ration::Ration,
    receive::QueueReader,
};

const QUEUE: usize = 16;
const CHUNK_BYTES: usize = 64 << 10;

/// A layer as it may be stored.
pub(crate) async fn plain(mut stream: BoxStream<'static, Result<Bytes>>) -> Result<BoxStream<'static, Result<Bytes>>> {
    let mut start = Vec::new();
    while start.len() < 6 {
        match stream.next().await {
            Some(chunk) => start.extend_from_slice(&chunk?),
            None => break,
        }
    }
    let compression = Compression::sniff(&start);
    let whole = stream::iter([Ok(Bytes::from(start))]).chain(stream).boxed();
    Ok(if compression.media_type().is_some() { whole } else { decoded(whole) })
}

/// The tar itself, whatever it is compressed with.
pub(crate) fn decoded(mut stream: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
    let (to_decoder, compressed) = mpsc::channel(QUEUE);
    let (to_reader, plain) = mpsc::channel(QUEUE);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = decode(QueueReader::new(compressed), &to_reader) {
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

fn decode(reader: QueueReader, to: &mpsc::Sender<Result<Bytes, Error>>) -> io::Result<()> {
    let (counted, mut ration) = Ration::over(reader);
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
