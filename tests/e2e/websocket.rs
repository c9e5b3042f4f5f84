//! `attach/ws`.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::system::{Tenant, block_on};

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn open(t: &Tenant, path: &str, origin: Option<&'static str>) -> Result<Socket, Error> {
    let mut request = format!("wss://{}{path}", t.address()).into_client_request().expect("a request");
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", HeaderValue::from_static(origin));
    }
    client_async(request, t.connect().await).await.map(|(socket, _)| socket)
}

/// Everything up to `end`, or up to the server's close frame, whose code is then given.
async fn read(socket: &mut Socket, end: &str) -> (String, Option<u16>) {
    let mut got = String::new();
    loop {
        match timeout(Duration::from_secs(20), socket.next()).await.expect("in time") {
            Some(Ok(Message::Binary(data))) => got.push_str(&String::from_utf8_lossy(&data)),
            Some(Ok(Message::Close(frame))) => return (got, frame.map(|f| f.code.into())),
            other => panic!("{got:?}, then {other:?}"),
        }
        if !end.is_empty() && got.ends_with(end) {
            return (got, None);
        }
    }
}

fn status_of(outcome: Result<Socket, Error>) -> (u16, String) {
    match outcome {
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8_lossy(&body).into_owned())
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn stdin_and_both_outputs_go_through_frames() {
    let t = Tenant::new("ws");
    t.docker(&["run", "-d", "-i", "--name", "c1", "busybox", "sh", "-c", "echo first; cat; echo last >&2"]).ok();
    let path = "/v1.44/containers/c1/attach/ws?logs=1&stream=1&stdin=1&stdout=1&stderr=1";
    block_on(async {
        let mut socket = open(&t, path, None).await.expect("a WebSocket");
        assert_eq!(read(&mut socket, "first\n").await.0, "first\n");
        socket.send(Message::Binary("hello\n".into())).await.expect("send");
        assert_eq!(read(&mut socket, "hello\n").await.0, "hello\n");
        socket.send(Message::Text("text\n".into())).await.expect("send");
        assert_eq!(read(&mut socket, "text\n").await.0, "text\n");
    });
    assert_eq!(t.inspect("c1")["State"]["Running"], true, "a client that leaves is no end of stdin");
    block_on(async {
        let mut socket = open(&t, path, None).await.expect("a WebSocket");
        assert_eq!(read(&mut socket, "text\n").await.0, "first\nhello\ntext\n");
        t.docker(&["kill", "c1"]).ok();
        assert_eq!(read(&mut socket, "").await, (String::new(), Some(1000)), "closed in order");
    });
}

#[test]
fn the_end_of_the_container_closes_the_socket() {
    let t = Tenant::new("ws");
    t.docker(&["run", "-d", "--name", "c1", "busybox", "sh", "-c", "echo out; echo err >&2"]).ok();
    t.docker(&["wait", "c1"]).ok();
    block_on(async {
        let mut socket = open(&t, "/v1.44/containers/c1/attach/ws?logs=1&stdout=1", None).await.expect("a WebSocket");
        assert_eq!(read(&mut socket, "").await, ("out\n".to_owned(), Some(1000)));
    });
}

#[test]
fn what_cannot_be_attached_is_said_before_the_upgrade() {
    let t = Tenant::new("ws");
    t.docker(&["run", "-d", "--name", "c1", "busybox", "sleep", "1000"]).ok();
    let other = Tenant::bare("ws");
    block_on(async {
        let (status, body) = status_of(open(&t, "/containers/nonesuch/attach/ws?stream=1", None).await);
        assert_eq!((status, body.as_str()), (404, "{\"message\":\"No such container: nonesuch\"}\n"));
        let id = t.docker(&["ps", "-q", "--no-trunc"]).ok();
        let (status, body) =
            status_of(open(&other, &format!("/containers/{}/attach/ws?stream=1", id.trim()), None).await);
        assert_eq!((status, body), (404, format!("{{\"message\":\"No such container: {}\"}}\n", id.trim())));
        let (status, body) =
            status_of(open(&t, "/containers/c1/attach/ws?stream=1", Some("https://evil.example")).await);
        assert!(status == 403 && body.contains("E07"), "{status} {body}");
        let (status, _) = status_of(open(&t, "/containers/c1/attach/ws?detachKeys=zz", None).await);
        assert_eq!(status, 400);
    });
    assert_eq!(t.refused("GET", "/containers/c1/attach/ws?stream=1", ""), (400, "not websocket protocol".to_owned()));
}
