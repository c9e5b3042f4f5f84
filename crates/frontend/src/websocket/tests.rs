use tokio_stream::wrappers::ReceiverStream;

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let good = [
        ("host", "docker.example:2376"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let all = good.iter().chain(pairs);
    let mut headers = HeaderMap::new();
    for (name, value) in all {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

fn refusal(pairs: &[(&'static str, &'static str)]) -> (u16, String) {
    let error = handshake(&headers(pairs)).expect_err("refused");
    (error.status().as_u16(), error.message())
}

#[test]
fn the_handshake_of_the_rfc() {
    let response = handshake(&headers(&[("sec-websocket-protocol", "a, b")])).expect("accepted");
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(response.headers()["sec-websocket-protocol"], "a");
    let response = handshake(&headers(&[])).expect("accepted");
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
}

#[test]
fn what_is_no_handshake_is_refused_in_dockerds_words() {
    assert_eq!(refusal(&[("upgrade", "tcp")]), (400, "not websocket protocol".to_owned()));
    assert_eq!(refusal(&[("connection", "close")]).0, 400);
    assert_eq!(refusal(&[("sec-websocket-version", "8")]).0, 400);
    assert_eq!(refusal(&[("sec-websocket-key", "")]), (400, "mismatch challenge/response".to_owned()));
}

#[test]
fn another_sites_page_may_not_connect() {
    for origin in ["https://evil.example", "null", "https://docker.example", "https://docker.example:2376.evil.example"]
    {
        let (status, message) = refusal(&[("origin", origin)]);
        assert_eq!(status, 403, "{origin}");
        assert!(message.contains("E07"), "{message}");
    }
    for origin in ["https://docker.example:2376", "http://Docker.example:2376"] {
        assert!(handshake(&headers(&[("origin", origin)])).is_ok(), "{origin}");
    }
    assert!(handshake(&headers(&[("host", "d.example"), ("origin", "https://d.example:443")])).is_ok());
}

/// A client over memory, and the host's two ends.
struct Both {
    client: WebSocketStream<tokio::io::DuplexStream>,
    output: mpsc::Sender<Result<v1::StreamOutput, Status>>,
    input: mpsc::Receiver<Input>,
    session: tokio::task::JoinHandle<std::io::Result<Option<i32>>>,
}

async fn both(terms: Terms) -> Both {
    let (client, server) = tokio::io::duplex(64 << 10);
    let (output, outputs) = mpsc::channel(4);
    let (sender, input) = mpsc::channel(4);
    let session = tokio::spawn(async move {
        let socket = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
        let (mut sink, mut messages) = socket.split();
        exchange(ReceiverStream::new(outputs), sender, terms, &mut sink, &mut messages).await
    });
    Both { client: WebSocketStream::from_raw_socket(client, Role::Client, None).await, output, input, session }
}

fn terms(minor: u16, tty: bool) -> Terms {
    Terms {
        stdin: true,
        tty,
        close_stdin: !tty,
        detach_keys: vec![16, 17],
        version: ApiVersion::new(1, minor),
        farewell: None,
    }
}

fn chunk(data: &'static [u8]) -> Result<v1::StreamOutput, Status> {
    let chunk = v1::Chunk { stream: v1::Stream::Stderr.into(), data: Bytes::from_static(data) };
    Ok(v1::StreamOutput { output: Some(Output::Chunk(chunk)) })
}

#[tokio::test]
async fn output_comes_raw_in_binary_frames() {
    let mut both = both(terms(51, false)).await;
    both.output.send(chunk(b"a\xff")).await.expect("send");
    let got = both.client.next().await.expect("a frame").expect("sound");
    assert_eq!(got, Message::Binary(Bytes::from_static(b"a\xff")));
    drop(both.output);
    assert_eq!(both.session.await.expect("task").expect("session"), None);
}

#[tokio::test]
async fn before_1_28_frames_are_text() {
    let mut both = both(terms(27, false)).await;
    both.output.send(chunk(b"old")).await.expect("send");
    assert_eq!(both.client.next().await.expect("a frame").expect("sound"), Message::Text("old".into()));
}

#[tokio::test]
async fn the_clients_close_ends_stdin_and_the_attachment() {
    let mut both = both(terms(51, false)).await;
    both.client.send(Message::Binary(Bytes::from_static(b"in"))).await.expect("send");
    both.client.send(Message::Text("text".into())).await.expect("send");
    both.client.close(None).await.expect("close");
    for expected in [&b"in"[..], b"text"] {
        let Some(Input::Stdin(data)) = both.input.recv().await else { panic!("no input") };
        assert_eq!(data, expected);
    }
    assert!(matches!(both.input.recv().await, Some(Input::Close)));
    assert!(both.input.recv().await.is_none());
    assert_eq!(both.session.await.expect("task").expect("session"), None);
}

#[tokio::test]
async fn keys_detach_from_a_terminal() {
    let mut both = both(terms(51, true)).await;
    both.client.send(Message::Binary(Bytes::from_static(b"ls\x10\x11rest"))).await.expect("send");
    let Some(Input::Stdin(data)) = both.input.recv().await else { panic!("no input") };
    assert_eq!(data, &b"ls"[..]);
    assert!(both.input.recv().await.is_none(), "a terminal's stdin stays open");
}
