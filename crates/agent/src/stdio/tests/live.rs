use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures::StreamExt;
use rpc::v1::LogsRequest;
use tokio::{sync::watch, task::spawn_blocking, time};

use super::{Got, Scratch, all, collect, log_spec};
use crate::stdio::{Attach, attach, log_uri, logs};

const MIB: usize = 1 << 20;
const OWNER: u32 = 70_000;

/// A container, as far as its logger can tell.
struct Container {
    logger: Child,
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Container {
    /// The arguments come from the URI, as with containerd.
    fn start(scratch: &Scratch, max_bytes: u64) -> Self {
        let uri = log_uri(&helpers(), &scratch.paths(), &log_spec(max_bytes, 2), false, OWNER);
        let (path, query) = uri.strip_prefix("binary://").unwrap().split_once('?').unwrap();
        let pairs = query.split('&').flat_map(|p| p.split('='));
        let (out, stdout) = pipe();
        let (err, stderr) = pipe();
        // A shell moves the three descriptors into their places, and waits for the logger to close the third.
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec 3<&0 4<&2 5>&1 0</dev/null 1>/dev/null 2>/dev/null "$@""#, "sh", path]).args(pairs);
        let mut logger = command.stdin(out).stderr(err).stdout(Stdio::piped()).spawn().unwrap();
        drop(command);
        let ready = logger.stdout.take().unwrap().read(&mut [0]).unwrap();
        assert_eq!(ready, 0, "ready");
        Self { logger, stdout: Some(stdout.into()), stderr: Some(stderr.into()) }
    }

    fn out(&mut self, bytes: &[u8]) {
        self.stdout.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn err(&mut self, bytes: &[u8]) {
        self.stderr.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Who owns the pipes.
    fn owners(&self) -> [u32; 2] {
        [&self.stdout, &self.stderr].map(|pipe| pipe.as_ref().unwrap().metadata().unwrap().uid())
    }

    fn end(mut self) {
        self.stdout.take();
        self.stderr.take();
        assert!(self.logger.wait().unwrap().success());
    }
}

/// Beside the test's binary; it has an integration test, so a build of the workspace's tests builds it.
fn helpers() -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    assert!(target.join("wharfinger-logger").exists(), "build the workspace first: {}", target.display());
    target
}

/// Read end for standard input, write end.
fn pipe() -> (Stdio, OwnedFd) {
    let (read, write) = std::io::pipe().unwrap();
    (read.into(), write.into())
}

fn request(logs: bool) -> Attach {
    Attach { stdout: true, stderr: true, logs, stream: true, tty: false, resume: None }
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(&mut next).take(len).collect()
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    time::timeout(Duration::from_secs(60), work).await.unwrap()
}

#[tokio::test]
async fn the_pipes_become_the_container_s_root_s() {
    let scratch = Scratch::new("owner");
    let container = Container::start(&scratch, 0);
    assert_eq!(container.owners(), [OWNER; 2]);
    container.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attach_before_the_start_gets_every_byte_of_the_run_and_ends_with_it() {
    let scratch = Scratch::new("before");
    let starts = watch::Sender::new(0);
    let mut earlier = Container::start(&scratch, 0);
    earlier.out(b"an earlier run\n");
    earlier.end();
    let mut output = attach(&scratch.paths(), request(false), starts.subscribe());
    output.next().await.unwrap().unwrap();
    let sent = noise(5 * MIB);
    let mut container = Container::start(&scratch, 0);
    starts.send_modify(|n| *n += 1);
    let bytes = sent.clone();
    let writer = spawn_blocking(move || {
        for part in bytes.chunks(10_007) {
            container.out(part);
        }
        container.err(b"done\n");
        container.end();
    });
    let got = soon(collect(output)).await;
    writer.await.unwrap();
    assert!(got.stdout == sent && got.stderr == b"done\n" && got.error.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_over_before_we_look_is_seen_whole() {
    let scratch = Scratch::new("fast");
    let starts = watch::Sender::new(0);
    let mut output = attach(&scratch.paths(), request(false), starts.subscribe());
    output.next().await.unwrap().unwrap();
    let mut container = Container::start(&scratch, 0);
    container.out(b"hello\n");
    container.end();
    starts.send_modify(|n| *n += 1);
    assert_eq!(soon(collect(output)).await.stdout, b"hello\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attach_with_logs_begins_at_the_beginning() {
    let scratch = Scratch::new("withlogs");
    let starts = watch::Sender::new(0);
    let mut container = Container::start(&scratch, 0);
    container.out(b"first\n");
    container.end();
    let mut container = Container::start(&scratch, 0);
    container.out(b"second\n");
    let with = attach(&scratch.paths(), request(true), starts.subscribe());
    let only_logs = Attach { stream: false, ..request(true) };
    time::sleep(Duration::from_millis(100)).await;
    let replay = soon(collect(attach(&scratch.paths(), only_logs, starts.subscribe()))).await;
    let mut without = attach(&scratch.paths(), request(false), starts.subscribe());
    without.next().await.unwrap().unwrap();
    container.out(b"third\n");
    container.end();
    assert_eq!(replay.stdout, b"first\nsecond\n");
    assert_eq!(soon(collect(with)).await.stdout, b"first\nsecond\nthird\n");
    assert_eq!(soon(collect(without)).await.stdout, b"third\n");
}

#[tokio::test]
async fn attach_ends_when_the_container_is_removed() {
    let scratch = Scratch::new("removed");
    let starts = watch::Sender::new(0);
    let output = attach(&scratch.paths(), request(false), starts.subscribe());
    drop(starts);
    assert_eq!(soon(collect(output)).await, Got::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_of_attach_loses_nothing_although_files_are_rotated() {
    let scratch = Scratch::new("slow");
    let starts = watch::Sender::new(0);
    let mut container = Container::start(&scratch, MIB as u64);
    let mut output = attach(&scratch.paths(), request(false), starts.subscribe());
    output.next().await.unwrap().unwrap();
    let sent = noise(MIB);
    let part = sent.clone();
    let writer = spawn_blocking(move || {
        (0..150).for_each(|_| container.out(&part));
        container.end();
    });
    time::sleep(Duration::from_secs(2)).await;
    assert!(!writer.is_finished(), "more than the log and 64 MiB: the container waits");
    let mut got = Got::default();
    while let Some(item) = soon(output.next()).await {
        got.add(item);
    }
    writer.await.unwrap();
    assert_eq!((got.stdout.len(), &got.error), (150 * MIB, &None));
    assert!(got.stdout.chunks(MIB).all(|c| c == sent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_follow_ends_with_the_container() {
    let scratch = Scratch::new("follow");
    let mut container = Container::start(&scratch, 0);
    container.out(b"one\ntwo\n");
    time::sleep(Duration::from_millis(100)).await;
    let request = LogsRequest { follow: true, tail: Some(1), timestamps: false, ..all() };
    let mut output = logs(&scratch.paths(), &request, &log_spec(0, 0), false).unwrap();
    let mut got = Got::default();
    while got.stdout.len() < 4 {
        got.add(soon(output.next()).await.unwrap());
    }
    for i in 0..20 {
        container.out(format!("{i}\n").as_bytes());
        let before = Instant::now();
        while !got.stdout.ends_with(format!("{i}\n").as_bytes()) {
            got.add(soon(output.next()).await.unwrap());
        }
        assert!(before.elapsed() < Duration::from_secs(2), "woken, not polled");
    }
    container.out(b"no newline");
    container.end();
    while let Some(item) = soon(output.next()).await {
        got.add(item);
    }
    assert!(got.stdout.starts_with(b"two\n0\n1\n") && got.stdout.ends_with(b"\n19\nno newline"));
    let again = logs(&scratch.paths(), &request, &log_spec(0, 0), false).unwrap();
    assert_eq!(soon(collect(again)).await.stdout, b"no newline", "not running: what there is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_follow_until_a_time_ends_then() {
    let scratch = Scratch::new("until");
    let mut container = Container::start(&scratch, 0);
    container.out(b"early\n");
    time::sleep(Duration::from_millis(100)).await;
    let until = std::time::SystemTime::now() + Duration::from_millis(500);
    let request = LogsRequest { follow: true, until: Some(until.into()), ..all() };
    let output = logs(&scratch.paths(), &request, &log_spec(0, 0), false).unwrap();
    assert_eq!(soon(collect(output)).await.stdout, b"early\n");
    container.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_lines_are_tailed_while_the_container_writes() {
    let scratch = Scratch::new("busy");
    let mut container = Container::start(&scratch, 300_000);
    let writer = spawn_blocking(move || {
        for i in 0..200_000 {
            container.out(format!("line number {i}\n").as_bytes());
        }
        container.end();
    });
    while !writer.is_finished() {
        let request = LogsRequest { tail: Some(100), ..all() };
        let got = soon(collect(logs(&scratch.paths(), &request, &log_spec(0, 0), false).unwrap())).await;
        // The last line may be unfinished as yet.
        let text = String::from_utf8(got.stdout).unwrap();
        let numbers: Vec<u64> = text
            .split_inclusive('\n')
            .filter_map(|l| l.strip_suffix('\n'))
            .map(|l| l.strip_prefix("line number ").unwrap().parse().unwrap())
            .collect();
        assert!(numbers.len() <= 100 && numbers.windows(2).all(|w| w[1] == w[0] + 1), "{numbers:?}");
    }
    writer.await.unwrap();
}

/// Not a judgement, a measurement: run with `--nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throughput_of_attach_and_logs() {
    let scratch = Scratch::new("throughput");
    let starts = watch::Sender::new(0);
    let mut container = Container::start(&scratch, 1 << 30);
    let mut output = attach(&scratch.paths(), request(false), starts.subscribe());
    output.next().await.unwrap().unwrap();
    let begun = Instant::now();
    let writer = spawn_blocking(move || {
        let zeros = vec![0; MIB];
        (0..256).for_each(|_| container.out(&zeros));
        container.end();
    });
    let mut bytes = 0;
    while let Some(item) = soon(output.next()).await {
        let Some(rpc::v1::stream_output::Output::Chunk(chunk)) = item.unwrap().output else { continue };
        bytes += chunk.data.len();
    }
    println!("attach: {:.0} MiB/s", 256.0 / begun.elapsed().as_secs_f64());
    writer.await.unwrap();
    assert_eq!(bytes, 256 * MIB);
    for (name, timestamps) in [("logs", false), ("logs -t", true)] {
        let begun = Instant::now();
        let request = LogsRequest { timestamps, ..all() };
        let mut output = logs(&scratch.paths(), &request, &log_spec(0, 0), false).unwrap();
        while let Some(item) = soon(output.next()).await {
            item.unwrap();
        }
        println!("{name}: {:.0} MiB/s", 256.0 / begun.elapsed().as_secs_f64());
    }
}

/// What came, up to the last place that was named, with that place, and the bytes behind it.
async fn some(
    output: &mut crate::stdio::Output,
    until: usize,
    mut resume: rpc::v1::Resume,
) -> (Vec<u8>, rpc::v1::Resume) {
    use rpc::v1::stream_output::Output as O;
    let mut got = Vec::new();
    while got.len() < until {
        match output.next().await.unwrap().unwrap().output {
            Some(O::Attached(attached)) => {
                resume = rpc::v1::Resume { place: attached.place, ..Default::default() };
            }
            Some(O::Chunk(chunk)) => {
                resume.stdout_bytes += chunk.data.len() as u64;
                got.extend_from_slice(&chunk.data);
            }
            _ => panic!("an exit"),
        }
    }
    (got, resume)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_broke_off_goes_on_where_it_was() {
    let scratch = Scratch::new("resume");
    let starts = watch::Sender::new(0);
    let mut container = Container::start(&scratch, 0);
    let sent = noise(9 * MIB);
    let mut output = attach(&scratch.paths(), request(false), starts.subscribe());
    let first = soon(output.next()).await.unwrap().unwrap();
    let Some(rpc::v1::stream_output::Output::Attached(first)) = first.output else { panic!("attached") };
    assert!(first.place.is_some());
    let bytes = sent.clone();
    let writer = spawn_blocking(move || {
        bytes.chunks(9_973).for_each(|part| container.out(part));
        container
    });
    let mut got = Vec::new();
    let mut resume = rpc::v1::Resume { place: first.place, ..Default::default() };
    for until in [3 * MIB, 2 * MIB] {
        let piece;
        (piece, resume) = soon(some(&mut output, until, resume)).await;
        got.extend(piece);
        let again = Attach { resume: Some((&resume).into()), ..request(false) };
        output = attach(&scratch.paths(), again, starts.subscribe());
        soon(output.next()).await.unwrap().unwrap();
    }
    // The run is over when the client comes back for the last time.
    let (piece, resume) = soon(some(&mut output, MIB, resume)).await;
    got.extend(piece);
    drop(output);
    writer.await.unwrap().end();
    let again = Attach { resume: Some((&resume).into()), ..request(false) };
    let rest = soon(collect(attach(&scratch.paths(), again, starts.subscribe()))).await;
    got.extend(rest.stdout);
    assert!(got == sent && rest.error.is_none(), "{} of {} bytes", got.len(), sent.len());
}
