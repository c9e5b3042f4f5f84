//! Blobs for the hosts, on the frontends' internal listener: a host gets a blob only if a container that is placed on that
//! very host needs it, and holds no key to the store.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use domain::{Digest, Error, Result};
use futures::{Stream, StreamExt as _, stream::BoxStream};
use rpc::{
    Peer,
    status::to_status,
    v1::{
        BlobChunk, FetchRequest,
        blobs_server::{Blobs, BlobsServer},
    },
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::state::App;

/// One message: large enough to cost little, far below the peers' limit.
const CHUNK_BYTES: usize = 512 << 10;

/// Serves until `shutdown`; calls that run are finished.
pub(crate) async fn serve(app: App, listener: TcpListener, shutdown: CancellationToken) -> Result<()> {
    let mut server = rpc::server(&app.config.tls)?;
    server
        .add_service(BlobsServer::new(Service { app }))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned())
        .await
        .map_err(|e| Error::because("the blob listener", e))
}

struct Service {
    app: App,
}

#[tonic::async_trait]
impl Blobs for Service {
    type FetchStream = Pin<Box<dyn Stream<Item = Result<BlobChunk, Status>> + Send>>;

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let blob = self.open(request).await.map_err(to_status)?;
        let chunks = rechunked(blob).map(|chunk| chunk.map(|data| BlobChunk { data }).map_err(to_status));
        Ok(Response::new(Box::pin(chunks)))
    }
}

impl Service {
    async fn open(&self, request: Request<FetchRequest>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let Peer::Agent(host) = Peer::of(&request)? else {
            return Err(Error::forbidden("only hosts fetch blobs"));
        };
        let message = request.into_inner();
        let (tenant, container) = rpc::tenant_and_container(message.container)?;
        let digest: Digest = message.digest.parse()?;
        if !self.app.inventory.host_needs_blob(host, tenant, &container, &digest).await? {
            return Err(Error::not_found(domain::Kind::Blob, digest.as_str()));
        }
        Ok(self.app.blobs.read(&digest).await?.boxed())
    }
}

/// Small reads of the store become chunks of [`CHUNK_BYTES`].
fn rechunked(blob: BoxStream<'static, Result<Bytes>>) -> impl Stream<Item = Result<Bytes>> + Send {
    futures::stream::unfold((blob, false), |(mut blob, ended)| async move {
        if ended {
            return None;
        }
        let mut chunk = BytesMut::new();
        while chunk.len() < CHUNK_BYTES {
            match blob.next().await {
                Some(Ok(piece)) if chunk.is_empty() && piece.len() >= CHUNK_BYTES => {
                    return Some((Ok(piece), (blob, false)));
                }
                Some(Ok(piece)) => chunk.extend_from_slice(&piece),
                Some(Err(error)) => return Some((Err(error), (blob, true))),
                None if chunk.is_empty() => return None,
                None => return Some((Ok(chunk.freeze()), (blob, true))),
            }
        }
        Some((Ok(chunk.freeze()), (blob, false)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_reads_are_joined_and_large_ones_pass() {
        let sizes = [100_000, 300_000, 200_000, 600_000, 1, 4 << 20];
        let pieces = sizes.map(|n| Ok(Bytes::from(vec![7u8; n])));
        let chunks: Vec<Bytes> =
            rechunked(futures::stream::iter(pieces).boxed()).map(|c| c.expect("chunk")).collect().await;
        assert_eq!(chunks.iter().map(Bytes::len).sum::<usize>(), sizes.iter().sum::<usize>());
        assert!(chunks.iter().rev().skip(1).all(|c| c.len() >= CHUNK_BYTES));
    }
}
