use std::{
    fs::File,
    io::Read,
    process::{Child, Command},
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::ExecId;
use futures::StreamExt;
use rpc::v1;
use tokio::{task::spawn_blocking, time};
use tokio_util::sync::CancellationToken;

use super::{Scratch, collect};
use crate::stdio::{ExecPipes, ExecStreams, Stdin};

const BOTH: ExecStreams = ExecStreams { stdin: false, stdout: true, stderr: true, tty: false };
const MIB: usize = 1 << 20;

/// A process with its streams at the FIFOs, as the shim would connect it.
fn process(pipes: &ExecPipes, script: &str) -> Child {
    let [_, stdout, stderr] = pipes.paths();
    let open = |path: &str| File::options().read(true).write(true).open(path).unwrap();
    Command::new("sh").args(["-c", script]).stdout(open(&stdout)).stderr(open(&stderr)).spawn().unwrap()
}

#[tokio::test]
async fn both_streams_come_until_they_end_and_the_fifos_are_removed() {
    let scratch = Scratch::new("exec");
    let execs = scratch.paths().execs;
    let pipes = ExecPipes::create(&execs, &ExecId::random(), BOTH).unwrap();
    let ended = pipes.ended();
    let mut child = process(&pipes, "echo out; echo err >&2; head -c 300000 /dev/zero");
    let output = pipes.output(CancellationToken::new());
    let got = time::timeout(Duration::from_secs(20), collect(output)).await.unwrap();
    assert_eq!((got.stdout.len(), &got.stderr[..]), (4 + 300_000, &b"err\n"[..]));
    ended.cancelled().await;
    assert_eq!(std::fs::read_dir(&execs).unwrap().count(), 0);
    child.wait().unwrap();
}

#[tokio::test]
async fn a_grandchild_in_the_background_does_not_hold_the_client() {
    let scratch = Scratch::new("grandchild");
    let pipes = ExecPipes::create(&scratch.paths().execs, &ExecId::random(), BOTH).unwrap();
    let mut child = process(&pipes, "(sleep 30; echo late) & echo $!");
    child.wait().unwrap();
    let exited = CancellationToken::new();
    exited.cancel();
    let begun = Instant::now();
    let got = collect(pipes.output(exited)).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    let grandchild = String::from_utf8(got.stdout).unwrap();
    assert!(grandchild.ends_with('\n'));
    Command::new("kill").arg(grandchild.trim()).status().unwrap();
}

#[tokio::test]
async fn a_slow_client_slows_the_process_and_one_that_leaves_does_not_stop_it() {
    let scratch = Scratch::new("leaves");
    let pipes = ExecPipes::create(&scratch.paths().execs, &ExecId::random(), BOTH).unwrap();
    let mut child = process(&pipes, "head -c 20000000 /dev/zero; exit 7");
    let mut output = pipes.output(CancellationToken::new());
    output.next().await.unwrap().unwrap();
    time::sleep(Duration::from_millis(500)).await;
    assert!(child.try_wait().unwrap().is_none(), "20 MB do not fit into what is in flight");
    drop(output);
    let status = time::timeout(Duration::from_secs(20), spawn_blocking(move || child.wait().unwrap())).await;
    assert_eq!(status.unwrap().unwrap().code(), Some(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throughput_of_an_exec() {
    let scratch = Scratch::new("fast");
    let pipes = ExecPipes::create(&scratch.paths().execs, &ExecId::random(), BOTH).unwrap();
    let begun = Instant::now();
    let mut child = process(&pipes, "head -c 268435456 /dev/zero");
    let mut output = pipes.output(CancellationToken::new());
    let mut bytes = 0;
    while let Some(item) = output.next().await {
        let Some(v1::stream_output::Output::Chunk(chunk)) = item.unwrap().output else { continue };
        bytes += chunk.data.len();
    }
    println!("exec: {:.0} MiB/s", 256.0 / begun.elapsed().as_secs_f64());
    assert_eq!(bytes, 256 * MIB);
    child.wait().unwrap();
}

#[tokio::test]
async fn input_before_the_start_waits_for_it_and_so_does_its_end() {
    let scratch = Scratch::new("stdin");
    let path = scratch.paths().stdin;
    let stdin = Stdin::create(&path).unwrap();
    stdin.write(b"hi\n").await.unwrap();
    assert!(!stdin.close().await, "there is no task to tell");
    assert!(stdin.write(b"more").await.is_err());
    let mut reader = File::options().read(true).open(&path).unwrap();
    assert!(stdin.started().await, "the end is due now");
    let text = spawn_blocking(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text).unwrap()
    });
    assert_eq!(text.await.unwrap(), "hi\n");
}

#[tokio::test]
async fn a_close_frees_a_writer_that_waits() {
    let scratch = Scratch::new("waits");
    let stdin = std::sync::Arc::new(Stdin::create(&scratch.paths().stdin).unwrap());
    assert!(!stdin.started().await);
    let (writer, big) = (stdin.clone(), Bytes::from(vec![0; 8 * MIB]));
    let waiting = tokio::spawn(async move { writer.write(&big).await });
    time::sleep(Duration::from_millis(100)).await;
    assert!(stdin.close().await);
    assert!(!stdin.close().await, "once");
    let outcome = time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    assert!(outcome.is_err());
}
