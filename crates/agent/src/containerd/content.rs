//! Content and diffs: a layer's blob goes in, is unpacked into a snapshot, and is dropped again.

use bytes::Bytes;
use containerd_client::{
    services::v1::{
        ApplyRequest, DeleteContentRequest, WriteAction, WriteContentRequest, content_client::ContentClient,
        diff_client::DiffClient,
    },
    tonic::{Code, transport::Channel},
    types::Descriptor,
};
use domain::{Digest, Error, Layer, Result};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Containerd, Mount, failed, optional};

impl Containerd {
    fn content(&self) -> ContentClient<Channel> {
        ContentClient::new(self.channel.clone())
    }

    /// Stores `body` as the blob `layer.digest`; containerd verifies digest and size at the commit.
    pub async fn write_blob<S>(&self, layer: &Layer, body: S) -> Result<()>
    where
        S: Stream<Item = Result<Bytes>> + Send + 'static,
    {
        // A half-written blob of an earlier try has the same reference: begin anew.
        let reference = format!("wharfinger-{}", layer.digest);
        let abort = containerd_client::services::v1::AbortRequest { r#ref: reference.clone() };
        optional("content.abort", self.content().abort(self.request(abort)).await)?;
        let (sender, receiver) = mpsc::channel(4);
        let feeder = tokio::spawn(feed(layer.clone(), reference, body, sender));
        let written = self.content().write(self.request(ReceiverStream::new(receiver))).await;
        let outcome = match written {
            Ok(replies) => until_committed(replies.into_inner()).await,
            Err(s) if s.code() == Code::AlreadyExists => Ok(()),
            Err(s) => Err(failed("content.write", s)),
        };
        // The body's own error tells more than the broken write that it caused.
        match feeder.await {
            Ok(Err(cause)) => Err(cause),
            _ => outcome,
        }
    }

    /// Unpacks the blob of `layer` onto `mounts`; gives the digest of the uncompressed tar.
    pub async fn apply(&self, layer: &Layer, mounts: Vec<Mount>) -> Result<Digest> {
        let size = i64::try_from(layer.size_bytes).map_err(|e| Error::because("layer size", e))?;
        let descriptor = Descriptor {
            media_type: layer.media_type.clone(),
            digest: layer.digest.to_string(),
            size,
            annotations: Default::default(),
        };
        let request = ApplyRequest { diff: Some(descriptor), mounts, ..Default::default() };
        let applied = DiffClient::new(self.channel.clone())
            .apply(self.request(request))
            .await
            .map_err(|s| failed("diff.apply", s))?
            .into_inner()
            .applied
            .ok_or_else(|| Error::internal("diff.apply answered nothing"))?;
        applied.digest.parse()
    }

    /// A blob that is not there is fine.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        let request = self.request(DeleteContentRequest { digest: digest.to_string() });
        optional("content.delete", self.content().delete(request).await).map(drop)
    }
}

async fn feed<S>(layer: Layer, reference: String, body: S, sender: mpsc::Sender<WriteContentRequest>) -> Result<()>
where
    S: Stream<Item = Result<Bytes>> + Send + 'static,
{
    let total = i64::try_from(layer.size_bytes).map_err(|e| Error::because("layer size", e))?;
    let message = |action: WriteAction, offset: i64, data: Vec<u8>| WriteContentRequest {
        action: action.into(),
        r#ref: reference.clone(),
        total,
        expected: layer.digest.to_string(),
        offset,
        data,
        labels: [("containerd.io/uncompressed".to_owned(), layer.diff_id.to_string())].into(),
    };
    let mut body = std::pin::pin!(body);
    let mut offset = 0i64;
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        let length = chunk.len() as i64;
        if sender.send(message(WriteAction::Write, offset, chunk.into())).await.is_err() {
            return Ok(()); // containerd ended the call, and its status says why
        }
        offset += length;
    }
    let _ = sender.send(message(WriteAction::Commit, offset, Vec::new())).await;
    Ok(())
}

async fn until_committed(
    mut replies: containerd_client::tonic::Streaming<containerd_client::services::v1::WriteContentResponse>,
) -> Result<()> {
    loop {
        match replies.message().await {
            Ok(Some(reply)) if reply.action() == WriteAction::Commit => return Ok(()),
            Ok(Some(_)) => {}
            Ok(None) => return Err(Error::internal("content.write ended before its commit")),
            Err(s) if s.code() == Code::AlreadyExists => return Ok(()),
            Err(s) => return Err(failed("content.write", s)),
        }
    }
}
