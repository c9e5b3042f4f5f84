//! Taking over a client's connection for attach and exec: Docker's bytes on one side, one gRPC stream on the other.
//!
//! - `101 UPGRADED` goes out only once the host has said that it is attached, so that no output is lost between.
//! - Half-closes: the client's end of input closes the container's stdin (dockerd's rule on when: [`Terms`]); the end of
//!   output closes our sending side, and nobody waits for the client's stdin.
//! - Nothing is buffered beyond one chunk in each direction: a slow side holds up the other through TCP and HTTP/2.
//! - Without an `Upgrade` header the same bytes come as the body of a 200, and the request's body is not stdin.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::{Buf, Bytes, BytesMut};
use docker_api::{detach_keys::Scanner, stdcopy, version::ApiVersion};
use domain::{Error, Event, Result};
use futures::{FutureExt as _, Stream, StreamExt as _, stream::BoxStream};
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, UPGRADE},
};
use hyper::{ext::ReasonPhrase, upgrade::OnUpgrade};
use inventory::TenantView;
use rpc::{request_id::REQUEST_ID, v1};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::mpsc,
};
use tonic::{Status, Streaming};
use tracing::Instrument;

use crate::{
    server::{ClientIo, Connection},
    socket::DeathWatch,
    websocket,
};

/// What one read takes from the client.
const READ_BYTES: usize = 64 << 10;
/// How long a client may go on sending after our output has ended, before the connection is closed on it.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

/// Pieces of input between the client's connection and the agent's stream.
pub(crate) const INPUT_PIECES: usize = 4;

/// What an agent's stream is told by the client.
#[derive(Debug)]
pub(crate) enum Input {
    Stdin(Bytes),
    Close,
}

/// What an agent sends, the first `attached` left out.
pub(crate) type Outputs = BoxStream<'static, Result<v1::StreamOutput, Status>>;

/// One attached stream of an agent, `attached` already received.
pub(crate) struct Session {
    pub(crate) output: Outputs,
    /// Kept to the end even where stdin is not attached: the end of this stream would mean that the client has gone.
    pub(crate) input: mpsc::Sender<Input>,
    pub(crate) terms: Terms,
    /// Runs between the last byte and the end of the stream, with an exec's exit code.
    pub(crate) ended: Ended,
}

pub(crate) type Ended = Box<dyn FnOnce(Option<i32>) -> futures::future::BoxFuture<'static, ()> + Send>;

/// How the streams behave.
pub(crate) struct Terms {
    /// False: what the client sends is thrown away.
    pub(crate) stdin: bool,
    /// Raw bytes, not framed, and the detach keys are looked for.
    pub(crate) tty: bool,
    /// The client's end of input closes stdin (`StdinOnce`, or an exec, and no terminal); else it ends the attachment, as
    /// with dockerd.
    pub(crate) close_stdin: bool,
    pub(crate) detach_keys: Vec<u8>,
    pub(crate) version: ApiVersion,
    /// Told when the client's keys detach it.
    pub(crate) farewell: Option<Farewell>,
}

/// An event for when it comes to that.
pub(crate) struct Farewell {
    pub(crate) rows: TenantView,
    pub(crate) event: Event,
}

impl Farewell {
    pub(crate) async fn tell(self) {
        if let Err(error) = self.rows.record_event(Event { at: chrono::Utc::now(), ..self.event }).await {
            tracing::warn!(cause = error.operator_text(), "that a client detached is not told");
        }
    }
}

/// The way to the client's connection, taken out of a request.
pub(crate) struct Takeover {
    upgrade: Option<OnUpgrade>,
    connection: Arc<Connection>,
}

impl Takeover {
    /// `Upgrade` with any value, as dockerd takes it.
    pub(crate) fn of(headers: &HeaderMap, extensions: &mut Extensions) -> Result<Self> {
        let upgrade = headers.contains_key(UPGRADE).then(|| extensions.remove::<OnUpgrade>()).flatten();
        let connection = extensions.get::<Arc<Connection>>().cloned();
        Ok(Self { upgrade, connection: connection.ok_or_else(|| Error::internal("a request without its connection"))? })
    }

    /// Sends the headers, and lets the session's bytes follow.
    pub(crate) fn respond(self, session: Session) -> Response {
        let content_type = content_type(session.terms.tty, session.terms.version);
        match self.upgrade {
            Some(upgrade) => {
                spawn(self.connection, upgrade, Work::Session(Box::new(session)));
                upgraded(content_type)
            }
            None => streamed(content_type, crate::stream::session_body(session)),
        }
    }

    /// Sends `switching`, the answer to a WebSocket's handshake, and lets the session's bytes follow in frames.
    pub(crate) fn respond_in_frames(self, switching: Response, session: Session) -> Result<Response> {
        let upgrade = self.upgrade.ok_or_else(|| Error::invalid("this connection cannot become a WebSocket"))?;
        spawn(self.connection, upgrade, Work::WebSocket(Box::new(session)));
        Ok(switching)
    }

    /// The headers of a session, then one text and the end: how dockerd says that an exec could not start.
    pub(crate) fn respond_with_text(self, terms: &Terms, text: String) -> Response {
        let content_type = content_type(terms.tty, terms.version);
        let text = Bytes::from(match terms.tty {
            true => text.into_bytes(),
            false => [&stdcopy::header(stdcopy::STDOUT, text.len())[..], text.as_bytes()].concat(),
        });
        match self.upgrade {
            Some(upgrade) => {
                spawn(self.connection, upgrade, Work::Text(text));
                upgraded(content_type)
            }
            None => streamed(content_type, Body::from(text)),
        }
    }
}

/// Since API 1.42 a framed stream says that it is one.
pub(crate) fn content_type(tty: bool, version: ApiVersion) -> HeaderValue {
    match tty || version < ApiVersion::new(1, 42) {
        true => HeaderValue::from_static("application/vnd.docker.raw-stream"),
        false => HeaderValue::from_static("application/vnd.docker.multiplexed-stream"),
    }
}

fn upgraded(content_type: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    // Old clients look for Docker's word.
    response.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    response
}

pub(crate) fn streamed(content_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

enum Work {
    Session(Box<Session>),
    WebSocket(Box<Session>),
    Text(Bytes),
}

fn spawn(connection: Arc<Connection>, upgrade: OnUpgrade, work: Work) {
    let id = rpc::request_id::current();
    let tasks = connection.tasks.clone();
    let task = async move {
        let outcome = tokio::select! {
            outcome = take_over(upgrade, work) => outcome,
            () = connection.revoked.cancelled() => Err(std::io::Error::other("the credential was revoked")),
        };
        if let Err(cause) = outcome {
            tracing::debug!(%cause, "stream");
        }
    };
    tasks.spawn(REQUEST_ID.scope(id, task.in_current_span()));
}

async fn take_over(upgrade: OnUpgrade, work: Work) -> std::io::Result<()> {
    let upgraded = upgrade.await.map_err(std::io::Error::other)?;
    let parts =
        upgraded.downcast::<ClientIo>().map_err(|_| std::io::Error::other("not a connection of this listener"))?;
    let stream = parts.io.into_inner().into_inner();
    let watch = DeathWatch::new(stream.get_ref().0)?;
    tokio::select! {
        outcome = serve(stream, parts.read_buf, work) => outcome,
        () = watch.died() => Err(std::io::ErrorKind::ConnectionReset.into()),
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin>(stream: S, early: Bytes, work: Work) -> std::io::Result<()> {
    let (text, session) = match work {
        Work::WebSocket(session) => return websocket::serve(stream, early, *session).await,
        Work::Session(session) => (Bytes::new(), Some(*session)),
        Work::Text(text) => (text, None),
    };
    let (reader, writer) = tokio::io::split(stream);
    Client { reader, early, writer }.serve(&text, session).await
}

struct Client<S> {
    reader: ReadHalf<S>,
    /// What the client sent together with its request.
    early: Bytes,
    writer: WriteHalf<S>,
}

impl<S: AsyncRead + AsyncWrite + Send> Client<S> {
    async fn serve(mut self, text: &[u8], session: Option<Session>) -> std::io::Result<()> {
        self.writer.write_all(text).await?;
        if let Some(Session { output, input, terms, ended }) = session {
            let exit_code = self.exchange(output, input, terms).await?;
            ended(exit_code).await;
        }
        self.writer.shutdown().await?;
        // Closing with unread input would reset the connection, and the client could lose what it has not read yet.
        let mut nowhere = tokio::io::sink();
        let _ = tokio::time::timeout(LINGER, tokio::io::copy(&mut self.reader, &mut nowhere)).await;
        Ok(())
    }

    /// Until the output ends, or an input that ends the attachment.
    async fn exchange<O>(&mut self, output: O, input: mpsc::Sender<Input>, terms: Terms) -> std::io::Result<Option<i32>>
    where
        O: Stream<Item = Result<v1::StreamOutput, Status>> + Unpin,
    {
        let framed = !terms.tty;
        let early = std::mem::take(&mut self.early);
        tokio::select! {
            copied = copy_output(output, framed, &mut self.writer) => copied,
            () = copy_input(&mut self.reader, early, input, terms) => Ok(None),
        }
    }
}

/// Copies until the host's side ends; the exit code if it said one.
async fn copy_output<O, W>(mut output: O, framed: bool, writer: &mut W) -> std::io::Result<Option<i32>>
where
    O: Stream<Item = Result<v1::StreamOutput, Status>> + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut exit_code = None;
    loop {
        // Flush only when nothing more is there at once: a burst becomes full TLS records.
        let next = match output.next().now_or_never() {
            Some(next) => next,
            None => {
                writer.flush().await?;
                output.next().await
            }
        };
        let Some(message) = next.transpose().map_err(std::io::Error::other)? else { return Ok(exit_code) };
        match message.output {
            Some(v1::stream_output::Output::Chunk(chunk)) => write_chunk(chunk, framed, writer).await?,
            Some(v1::stream_output::Output::Exit(exit)) => exit_code = Some(exit.exit_code),
            Some(v1::stream_output::Output::Attached(_)) | None => (),
        }
    }
}

async fn write_chunk<W: AsyncWrite + Unpin>(chunk: v1::Chunk, framed: bool, writer: &mut W) -> std::io::Result<()> {
    let stream = stream_number(&chunk);
    let data = chunk.data;
    match framed {
        true => {
            let header = stdcopy::header(stream, data.len());
            writer.write_all_buf(&mut Buf::chain(header.as_slice(), data)).await
        }
        false => writer.write_all(&data).await,
    }
}

/// stdcopy's number of the chunk's stream.
pub(crate) fn stream_number(chunk: &v1::Chunk) -> u8 {
    match chunk.stream() {
        v1::Stream::Stderr => stdcopy::STDERR,
        v1::Stream::Stdout | v1::Stream::Unspecified => stdcopy::STDOUT,
    }
}

/// Returns only when the client's input ends the attachment; otherwise it goes on (or sleeps) until it is dropped.
async fn copy_input<R: AsyncRead + Unpin>(reader: &mut R, early: Bytes, input: mpsc::Sender<Input>, terms: Terms) {
    let mut scanner = terms.tty.then(|| Scanner::new(terms.detach_keys.clone()));
    let mut pending = early;
    loop {
        if terms.stdin && !pending.is_empty() {
            let (forward, detached) = scan(&mut scanner, pending);
            if !forward.is_empty() && input.send(Input::Stdin(forward)).await.is_err() {
                // The host's side has ended: so will the output, which has the last word.
                return std::future::pending().await;
            }
            if detached {
                return tell(terms.farewell).await;
            }
        }
        // A client that breaks off without TLS's farewell has ended its input like any other.
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        pending = match reader.read_buf(&mut buffer).await {
            Ok(n) if n > 0 => buffer.freeze(),
            _ => break,
        };
    }
    end_of_input(scanner, input, &terms).await;
}

pub(crate) async fn tell(farewell: Option<Farewell>) {
    if let Some(farewell) = farewell {
        farewell.tell().await;
    }
}

pub(crate) fn scan(scanner: &mut Option<Scanner>, piece: Bytes) -> (Bytes, bool) {
    match scanner {
        Some(scanner) => {
            let fed = scanner.feed(piece);
            (fed.forward, fed.detached)
        }
        None => (piece, false),
    }
}

async fn end_of_input(scanner: Option<Scanner>, input: mpsc::Sender<Input>, terms: &Terms) {
    if terms.stdin {
        if let Some(held) = scanner.map(|mut s| s.finish()).filter(|held| !held.is_empty()) {
            let _ = input.send(Input::Stdin(held)).await;
        }
        if !terms.close_stdin {
            return;
        }
        let _ = input.send(Input::Close).await;
    }
    std::future::pending().await
}

/// Waits for the host's word that the stream is attached; its refusal is the error.
pub(crate) async fn attached(output: &mut Streaming<v1::StreamOutput>) -> Result<v1::Attached> {
    match output.message().await.map_err(rpc::status::from_status)?.and_then(|message| message.output) {
        Some(v1::stream_output::Output::Attached(attached)) => Ok(attached),
        _ => Err(Error::internal("an agent's stream began without `attached`")),
    }
}

#[cfg(test)]
mod tests;
