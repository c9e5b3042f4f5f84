use tokio::io::{DuplexStream, duplex};
use tokio_stream::wrappers::ReceiverStream;

use super::*;

type Message = Result<v1::StreamOutput, Status>;

/// A client's end of the connection, and the host's two ends.
struct Both {
    client: DuplexStream,
    output: mpsc::Sender<Message>,
    input: mpsc::Receiver<Input>,
    session: tokio::task::JoinHandle<std::io::Result<Option<i32>>>,
}

fn both(terms: Terms, early: &'static [u8]) -> Both {
    let (client, server) = duplex(64 << 10);
    let (output, messages) = mpsc::channel(4);
    let (sender, input) = mpsc::channel(INPUT_PIECES);
    let (reader, writer) = tokio::io::split(server);
    let mut taken = Client { reader, early: Bytes::from_static(early), writer };
    let session = tokio::spawn(async move {
        let code = taken.exchange(ReceiverStream::new(messages), sender, terms).await?;
        taken.writer.shutdown().await?;
        Ok(code)
    });
    Both { client, output, input, session }
}

fn terms(tty: bool, close_stdin: bool) -> Terms {
    Terms { stdin: true, tty, close_stdin, detach_keys: vec![16, 17], version: ApiVersion::MAX, farewell: None }
}

fn chunk(stream: v1::Stream, data: &'static [u8]) -> Message {
    let chunk = v1::Chunk { stream: stream.into(), data: Bytes::from_static(data) };
    Ok(v1::StreamOutput { output: Some(v1::stream_output::Output::Chunk(chunk)) })
}

fn exit(exit_code: i32) -> Message {
    Ok(v1::StreamOutput { output: Some(v1::stream_output::Output::Exit(v1::ExecExit { exit_code })) })
}

async fn stdin(input: &mut mpsc::Receiver<Input>) -> Vec<u8> {
    match input.recv().await {
        Some(Input::Stdin(data)) => data.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn output_is_framed_and_its_end_ends_the_stream_without_the_clients_leave() {
    let mut both = both(terms(false, true), b"");
    both.output.send(chunk(v1::Stream::Stdout, b"out")).await.expect("send");
    both.output.send(chunk(v1::Stream::Stderr, b"err\0")).await.expect("send");
    both.output.send(exit(7)).await.expect("send");
    drop(both.output);
    let mut got = Vec::new();
    both.client.read_to_end(&mut got).await.expect("read");
    assert_eq!(got, b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x04err\0");
    assert_eq!(both.session.await.expect("task").expect("session"), Some(7));
}

#[tokio::test]
async fn the_clients_end_of_input_closes_stdin_and_output_goes_on() {
    let mut both = both(terms(false, true), b"early ");
    both.client.write_all(b"late").await.expect("write");
    both.client.shutdown().await.expect("half a close");
    let mut got = stdin(&mut both.input).await;
    got.extend(stdin(&mut both.input).await);
    assert_eq!(got, b"early late");
    assert!(matches!(both.input.recv().await, Some(Input::Close)));
    both.output.send(chunk(v1::Stream::Stdout, b"x")).await.expect("send");
    drop(both.output);
    let mut got = Vec::new();
    both.client.read_to_end(&mut got).await.expect("read");
    assert_eq!(got, b"\x01\0\0\0\0\0\0\x01x");
    // The input's sender lived to the end: it would have told the host that the client had gone.
    assert!(both.input.recv().await.is_none());
}

#[tokio::test]
async fn without_stdin_once_the_end_of_input_ends_the_attachment_only() {
    let mut both = both(terms(false, false), b"");
    both.client.shutdown().await.expect("half a close");
    assert_eq!(both.session.await.expect("task").expect("session"), None);
    assert!(both.input.recv().await.is_none());
}

#[tokio::test]
async fn detach_keys_on_a_terminal_end_the_attachment() {
    let mut both = both(terms(true, false), b"");
    both.client.write_all(b"ls\x10\x11rest").await.expect("write");
    assert_eq!(stdin(&mut both.input).await, b"ls");
    assert_eq!(both.session.await.expect("task").expect("session"), None);
    assert!(both.input.recv().await.is_none());
}

#[tokio::test]
async fn without_stdin_what_the_client_sends_goes_nowhere() {
    let mut both = both(Terms { stdin: false, ..terms(false, true) }, b"");
    both.client.write_all(b"ignored").await.expect("write");
    both.client.shutdown().await.expect("half a close");
    both.output.send(chunk(v1::Stream::Stdout, b"x")).await.expect("send");
    drop(both.output);
    let mut got = Vec::new();
    both.client.read_to_end(&mut got).await.expect("read");
    assert_eq!(got.len(), 9);
    assert!(both.input.recv().await.is_none());
}

#[test]
fn the_content_type_tells_of_frames_since_1_42() {
    let of = |tty, minor| content_type(tty, ApiVersion::new(1, minor)).to_str().expect("text").to_owned();
    assert_eq!(of(false, 42), "application/vnd.docker.multiplexed-stream");
    assert_eq!(of(false, 41), "application/vnd.docker.raw-stream");
    assert_eq!(of(true, 51), "application/vnd.docker.raw-stream");
}
