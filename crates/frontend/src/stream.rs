//! An agent's stream as the body of an HTTP answer: logs, and attach and exec without an upgrade.
//!
//! The body is pulled by hyper, so a client that does not read stops the agent; what is in memory is one batch.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use docker_api::stdcopy;
use futures::{FutureExt as _, StreamExt as _};
use rpc::v1::stream_output::Output;
use tokio::sync::mpsc;
use tonic::Status;

use crate::hijack::{Ended, Input, Outputs, Session, stream_number};

/// Chunks that are there already become one write, up to this size.
const BATCH_BYTES: usize = 256 << 10;

/// How chunks become bytes of the body.
#[derive(Clone, Copy)]
enum Framing {
    /// A terminal: as they are.
    Raw,
    Chunks,
    /// `logs -f`: docker-py's users take one frame for one line, which dockerd promises in practice. Whoever does not follow
    /// joins the frames, and a client's work for each frame (a write of its own) costs more than all of ours.
    Lines,
}

struct Pump {
    output: Outputs,
    framing: Framing,
    exit_code: Option<i32>,
    /// Told after what came before it.
    failed: Option<Status>,
    /// Kept until the end: see [`Session`].
    input: Option<mpsc::Sender<Input>>,
    ended: Option<Ended>,
}

/// The output of an attached session; its stdin stays silent.
pub(crate) fn session_body(session: Session) -> Body {
    let Session { output, input, terms, ended } = session;
    let framing = if terms.tty { Framing::Raw } else { Framing::Chunks };
    body(Pump { output, framing, exit_code: None, failed: None, input: Some(input), ended: Some(ended) })
}

/// The output of `logs`.
pub(crate) fn logs_body(output: Outputs, tty: bool, follow: bool) -> Body {
    let framing = match (tty, follow) {
        (true, _) => Framing::Raw,
        (false, true) => Framing::Lines,
        (false, false) => Framing::Chunks,
    };
    body(Pump { output, framing, exit_code: None, failed: None, input: None, ended: None })
}

fn body(pump: Pump) -> Body {
    Body::from_stream(futures::stream::unfold(Some(pump), |pump| async move {
        let mut pump = pump?;
        match pump.batch().await {
            Ok(batch) if !batch.is_empty() => Some((Ok(batch), Some(pump))),
            Ok(_) => {
                pump.finish().await;
                None
            }
            // The status has gone out: breaking the connection off is all that tells the client.
            Err(status) => Some((Err(rpc::status::from_status(status)), None)),
        }
    }))
}

impl Framing {
    fn put(self, batch: &mut BytesMut, stream: u8, data: &[u8]) {
        match self {
            Self::Raw => batch.extend_from_slice(data),
            Self::Chunks => frame(batch, stream, data),
            Self::Lines => data.split_inclusive(|byte| *byte == b'\n').for_each(|line| frame(batch, stream, line)),
        }
    }
}

fn frame(batch: &mut BytesMut, stream: u8, data: &[u8]) {
    batch.extend_from_slice(&stdcopy::header(stream, data.len()));
    batch.extend_from_slice(data);
}

impl Pump {
    /// What is there, at least one chunk; empty at the end.
    async fn batch(&mut self) -> Result<Bytes, Status> {
        if let Some(status) = self.failed.take() {
            return Err(status);
        }
        let mut batch = BytesMut::new();
        loop {
            let next = match batch.is_empty() {
                true => self.output.next().await.transpose()?,
                false => match self.output.next().now_or_never() {
                    Some(None) => None,
                    Some(Some(Ok(next))) => Some(next),
                    Some(Some(Err(status))) => {
                        self.failed = Some(status);
                        return Ok(batch.freeze());
                    }
                    None => return Ok(batch.freeze()),
                },
            };
            match next.map(|message| message.output) {
                None => return Ok(batch.freeze()),
                Some(Some(Output::Chunk(chunk))) => {
                    self.framing.put(&mut batch, stream_number(&chunk), &chunk.data);
                }
                Some(Some(Output::Exit(exit))) => self.exit_code = Some(exit.exit_code),
                Some(Some(Output::Attached(_)) | None) => (),
            }
            if batch.len() >= BATCH_BYTES {
                return Ok(batch.freeze());
            }
        }
    }

    async fn finish(&mut self) {
        self.input = None;
        if let Some(ended) = self.ended.take() {
            ended(self.exit_code).await;
        }
    }
}
