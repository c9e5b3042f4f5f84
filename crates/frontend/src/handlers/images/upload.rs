//! A request's body as a reader, for archives of any size.
//!
//! The body is read to its end by a task, also after its reader has given up on it: clients (Go's, for one) read no answer
//! while they send, and a closed connection would hide the error from them.

use std::{io, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use tokio::{io::AsyncRead, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;

const QUEUE: usize = 16;
/// A body that stands still for this long is cut.
const IDLE: Duration = Duration::from_secs(60);
/// What is read of a body that nobody wants any more.
const UNWANTED_MAX_BYTES: usize = 256 << 20;

pub(crate) fn reader(body: Body) -> impl AsyncRead + Send + Unpin + 'static {
    StreamReader::new(chunks(body))
}

/// As [`reader`], for who takes it in pieces.
pub(crate) fn chunks(body: Body) -> ReceiverStream<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(pump(body, sender));
    ReceiverStream::new(receiver)
}

async fn pump(body: Body, sender: mpsc::Sender<io::Result<Bytes>>) {
    let mut chunks = body.into_data_stream();
    let mut unwanted = 0;
    loop {
        let chunk = match timeout(IDLE, chunks.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => return,
            Ok(Some(Err(_))) | Err(_) => {
                let _ = sender.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
                return;
            }
        };
        let bytes = chunk.len();
        if sender.send(Ok(chunk)).await.is_err() {
            unwanted += bytes;
            if unwanted > UNWANTED_MAX_BYTES {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_body_is_read_whole() {
        let chunks =
            futures::stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"ab")), Ok(Bytes::from_static(b"c"))]);
        let mut text = String::new();
        reader(Body::from_stream(chunks)).read_to_string(&mut text).await.expect("read");
        assert_eq!(text, "abc");
    }

    #[tokio::test]
    async fn a_cut_body_is_an_error() {
        let chunks = futures::stream::iter([Ok(Bytes::from_static(b"ab")), Err(io::Error::other("cut"))]);
        let mut text = String::new();
        assert!(reader(Body::from_stream(chunks)).read_to_string(&mut text).await.is_err());
    }
}
