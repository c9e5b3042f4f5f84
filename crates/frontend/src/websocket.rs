//! A WebSocket in place of a hijacked connection (RFC 6455): the handshake as dockerd answers it, then a session's bytes.
//!
//! - Output is never framed by stdcopy here: both streams come as they are, in binary frames (text before API 1.28).
//! - The client's close frame is the end of its input and of the attachment: nothing may be sent after it.
//! - A browser says in `Origin` which page asks; another site's page must not use the certificate that the browser has
//!   (policy E07). Whoever is no browser sends none, or the endpoint's own.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use docker_api::{detach_keys::Scanner, version::ApiVersion};
use domain::{Error, Result};
use futures::{FutureExt as _, Sink, SinkExt as _, Stream, StreamExt as _};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use rpc::v1::{self, stream_output::Output};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tonic::Status;

use crate::{
    error::ApiError,
    hijack::{Input, LINGER, Session, Terms, scan, tell},
};

/// A client's message is held whole before it goes on.
const MESSAGE_MAX_BYTES: usize = 4 << 20;
const BINARY_SINCE: ApiVersion = ApiVersion::new(1, 28);

/// Checks the request and gives the 101 that answers it; the errors are dockerd's words.
pub(crate) fn handshake(headers: &HeaderMap) -> Result<Response, ApiError> {
    let key = check(headers)?;
    check_origin(headers)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let ours = response.headers_mut();
    ours.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    ours.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    ours.insert(SEC_WEBSOCKET_ACCEPT, accept.map_err(|e| Error::because("the answer to a WebSocket key", e))?);
    // A client that names protocols gives up when none is chosen; the bytes are the same in each.
    if let Some(Ok(first)) =
        text(headers, &SEC_WEBSOCKET_PROTOCOL).split(',').next().map(|p| p.trim().parse::<HeaderValue>())
        && !first.is_empty()
    {
        ours.insert(SEC_WEBSOCKET_PROTOCOL, first);
    }
    Ok(response)
}

/// The client's key.
fn check(headers: &HeaderMap) -> Result<&str, ApiError> {
    let upgrades = text(headers, &CONNECTION).split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    if !upgrades || !text(headers, &UPGRADE).eq_ignore_ascii_case("websocket") {
        return Err(Error::invalid("not websocket protocol").into());
    }
    if text(headers, &SEC_WEBSOCKET_VERSION) != "13" {
        return Err(Error::invalid("missing or bad WebSocket Version (supported: 13)").into());
    }
    match text(headers, &SEC_WEBSOCKET_KEY) {
        "" => Err(Error::invalid("mismatch challenge/response").into()),
        key => Ok(key),
    }
}

fn check_origin(headers: &HeaderMap) -> Result<()> {
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let (origin, host) = (text(headers, &ORIGIN), text(headers, &HOST));
    let (scheme, authority) = origin.split_once("://").unwrap_or(("", origin));
    let default_port = if scheme == "http" { ":80" } else { ":443" };
    let bare = |authority: &str| authority.strip_suffix(default_port).unwrap_or(authority).to_ascii_lowercase();
    match !host.is_empty() && bare(authority) == bare(host) {
        true => Ok(()),
        false => Err(Error::forbidden(format!("Origin {origin:?} may not open a WebSocket here (policy E07)"))),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Runs the session over a connection whose handshake has been answered.
pub(crate) async fn serve<S>(stream: S, early: Bytes, session: Session) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX_BYTES)).max_frame_size(Some(MESSAGE_MAX_BYTES));
    let socket = WebSocketStream::from_partially_read(stream, early.to_vec(), Role::Server, Some(config)).await;
    let Session { output, input, terms, ended } = session;
    let (mut sink, mut messages) = socket.split();
    let exit_code = exchange(output, input, terms, &mut sink, &mut messages).await?;
    ended(exit_code).await;
    let farewell = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    // Refused where the client was the first to close, which has been answered already.
    let _ = sink.send(Message::Close(Some(farewell))).await;
    let closing = async { while let Some(Ok(_)) = messages.next().await {} };
    let _ = tokio::time::timeout(LINGER, closing).await;
    Ok(())
}

/// Until the output ends, or an input that ends the attachment.
async fn exchange<O, W, R>(
    output: O,
    input: mpsc::Sender<Input>,
    terms: Terms,
    sink: &mut W,
    messages: &mut R,
) -> std::io::Result<Option<i32>>
where
    O: Stream<Item = Result<v1::StreamOutput, Status>> + Unpin,
    W: Sink<Message, Error = WsError> + Unpin,
    R: Stream<Item = Result<Message, WsError>> + Unpin,
{
    let binary = terms.version >= BINARY_SINCE;
    tokio::select! {
        copied = copy_output(output, binary, sink) => copied,
        () = copy_input(messages, input, terms) => Ok(None),
    }
}

async fn copy_output<O, W>(mut output: O, binary: bool, sink: &mut W) -> std::io::Result<Option<i32>>
where
    O: Stream<Item = Result<v1::StreamOutput, Status>> + Unpin,
    W: Sink<Message, Error = WsError> + Unpin,
{
    let mut exit_code = None;
    loop {
        // As in `hijack`: a burst is flushed once.
        let next = match output.next().now_or_never() {
            Some(next) => next,
            None => {
                sink.flush().await.map_err(std::io::Error::other)?;
                output.next().await
            }
        };
        let Some(message) = next.transpose().map_err(std::io::Error::other)? else { return Ok(exit_code) };
        match message.output {
            Some(Output::Chunk(chunk)) => {
                sink.feed(frame(chunk.data, binary)).await.map_err(std::io::Error::other)?;
            }
            Some(Output::Exit(exit)) => exit_code = Some(exit.exit_code),
            Some(Output::Attached(_)) | None => (),
        }
    }
}

fn frame(data: Bytes, binary: bool) -> Message {
    match binary {
        true => Message::Binary(data),
        // Frames of text must be text.
        false => Message::Text(String::from_utf8_lossy(&data).into_owned().into()),
    }
}

/// Returns when the client closes (or breaks off), or its keys detach it.
async fn copy_input<R>(messages: &mut R, input: mpsc::Sender<Input>, terms: Terms)
where
    R: Stream<Item = Result<Message, WsError>> + Unpin,
{
    let mut scanner = terms.tty.then(|| Scanner::new(terms.detach_keys.clone()));
    while let Some(Ok(message)) = messages.next().await {
        let piece = match message {
            Message::Binary(piece) => piece,
            Message::Text(piece) => piece.into(),
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        if !terms.stdin || piece.is_empty() {
            continue;
        }
        let (forward, detached) = scan(&mut scanner, piece);
        if !forward.is_empty() && input.send(Input::Stdin(forward)).await.is_err() {
            // The host's side has ended: so will the output, which has the last word.
            return std::future::pending().await;
        }
        if detached {
            return tell(terms.farewell).await;
        }
    }
    if terms.stdin {
        if let Some(held) = scanner.map(|mut s| s.finish()).filter(|held| !held.is_empty()) {
            let _ = input.send(Input::Stdin(held)).await;
        }
        if terms.close_stdin {
            let _ = input.send(Input::Close).await;
        }
    }
}

#[cfg(test)]
mod tests;
