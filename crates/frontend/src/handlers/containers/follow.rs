//! An attachment that outlives its agent: a stream that breaks off with the agent's process goes on with its next one, from
//! the place that was reached, since the container has gone on writing its log meanwhile.
//!
//! What the client has sent is not known to have arrived. So a stream is not taken up again once a pipe has given input, which
//! could be lost in silence; at a terminal a person sees what is missing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::Result;
use futures::{Stream, StreamExt as _, stream};
use rpc::v1::{self, attach_input, stream_output::Output};
use tokio::{
    sync::{Mutex, mpsc},
    time::Instant,
};
use tonic::{Status, Streaming};

use crate::hijack::{Input, Outputs, attached};

/// For the agent to come back; its supervisor needs less than a second.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(200);

/// The output of an attachment; `tty`: input may be lost.
pub(super) async fn open(
    agent: rpc::Agent,
    start: v1::AttachStart,
    input: mpsc::Receiver<Input>,
    tty: bool,
) -> Result<Outputs> {
    let client = ClientInput { pieces: Arc::new(Mutex::new(input)), used: Arc::default() };
    let mut attachment = Attachment { agent, start, client, tty, reached: Reached::default(), output: None };
    attachment.connect(None).await.map_err(rpc::status::from_status)?;
    Ok(stream::unfold(attachment, |mut attachment| async move {
        let next = attachment.next().await.transpose()?;
        Some((next, attachment))
    })
    .boxed())
}

struct Attachment {
    agent: rpc::Agent,
    start: v1::AttachStart,
    client: ClientInput,
    tty: bool,
    reached: Reached,
    /// None: it has ended.
    output: Option<Streaming<v1::StreamOutput>>,
}

/// The client's input, which outlives one call to the agent.
#[derive(Clone)]
struct ClientInput {
    pieces: Arc<Mutex<mpsc::Receiver<Input>>>,
    used: Arc<AtomicBool>,
}

impl ClientInput {
    fn messages(self) -> impl Stream<Item = v1::AttachInput> {
        stream::unfold(self, |client| async move {
            let piece = client.pieces.lock().await.recv().await?;
            client.used.store(true, Ordering::Relaxed);
            Some((v1::AttachInput { input: Some(wire(piece)) }, client))
        })
    }
}

fn wire(piece: Input) -> attach_input::Input {
    match piece {
        Input::Stdin(data) => attach_input::Input::Stdin(data),
        Input::Close => attach_input::Input::CloseStdin(true),
    }
}

/// Where the stream is: the last place that the agent named, and what has come since.
#[derive(Debug, Default)]
struct Reached {
    place: Option<v1::Place>,
    stdout_bytes: u64,
    stderr_bytes: u64,
}

impl Reached {
    fn count(&mut self, message: &v1::StreamOutput) {
        match &message.output {
            Some(Output::Chunk(chunk)) if chunk.stream() == v1::Stream::Stderr => {
                self.stderr_bytes += chunk.data.len() as u64;
            }
            Some(Output::Chunk(chunk)) => self.stdout_bytes += chunk.data.len() as u64,
            Some(Output::Attached(attached)) if attached.place.is_some() => self.mark(attached.place),
            _ => (),
        }
    }

    fn mark(&mut self, place: Option<v1::Place>) {
        *self = Self { place, stdout_bytes: 0, stderr_bytes: 0 };
    }

    fn resume(&self) -> Option<v1::Resume> {
        let Self { place, stdout_bytes, stderr_bytes } = *self;
        place.map(|place| v1::Resume { place: Some(place), stdout_bytes, stderr_bytes })
    }
}

impl Attachment {
    async fn next(&mut self) -> Result<Option<v1::StreamOutput>, Status> {
        let Some(output) = &mut self.output else { return Ok(None) };
        match output.message().await {
            Ok(message) => {
                message.iter().for_each(|message| self.reached.count(message));
                Ok(message)
            }
            Err(broken) => {
                self.output = None;
                self.resume(broken).await
            }
        }
    }

    /// Goes on where it broke off, or gives `broken` back.
    async fn resume(&mut self, broken: Status) -> Result<Option<v1::StreamOutput>, Status> {
        let input_at_risk = self.client.used.load(Ordering::Relaxed) && !self.tty;
        let Some(resume) = self.reached.resume().filter(|_| resumable(&broken) && !input_at_risk) else {
            return Err(broken);
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            tokio::time::sleep(RETRY).await;
            match self.connect(Some(resume)).await {
                Ok(()) => {
                    tracing::info!(cause = %broken, "an attachment goes on with its agent");
                    return Ok(Some(v1::StreamOutput { output: None }));
                }
                Err(status) if !resumable(&status) => return Err(status),
                Err(status) if Instant::now() > deadline => return Err(status),
                Err(_) => (),
            }
        }
    }

    async fn connect(&mut self, resume: Option<v1::Resume>) -> Result<(), Status> {
        let start = v1::AttachStart { resume, ..self.start.clone() };
        let first = v1::AttachInput { input: Some(attach_input::Input::Start(start)) };
        let messages = stream::iter([first]).chain(self.client.clone().messages());
        let mut output = self.agent.attach(messages).await?.into_inner();
        let attached = attached(&mut output).await.map_err(rpc::status::to_status)?;
        match resume {
            // What has come since that place goes on being counted from there.
            Some(_) => (),
            None => self.reached.mark(attached.place),
        }
        self.output = Some(output);
        Ok(())
    }
}

fn resumable(status: &Status) -> bool {
    rpc::status::is_broken_connection(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(stream: v1::Stream, bytes: usize) -> v1::StreamOutput {
        let chunk = v1::Chunk { stream: stream.into(), data: vec![0; bytes].into() };
        v1::StreamOutput { output: Some(Output::Chunk(chunk)) }
    }

    fn mark(offset: u64) -> v1::StreamOutput {
        let attached = v1::Attached { place: Some(v1::Place { segment: 1, offset }), ..Default::default() };
        v1::StreamOutput { output: Some(Output::Attached(attached)) }
    }

    #[test]
    fn what_came_since_the_last_place_is_counted() {
        let mut reached = Reached::default();
        reached.count(&chunk(v1::Stream::Stdout, 5));
        assert!(reached.resume().is_none(), "a replay of the log has no place yet");
        reached.count(&mark(100));
        reached.count(&chunk(v1::Stream::Stdout, 7));
        reached.count(&chunk(v1::Stream::Stderr, 3));
        reached.count(&chunk(v1::Stream::Stdout, 1));
        let resume = reached.resume().expect("a place");
        assert_eq!((resume.stdout_bytes, resume.stderr_bytes), (8, 3));
        assert_eq!(resume.place.map(|p| p.offset), Some(100));
    }
}
