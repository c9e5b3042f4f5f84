//! FIFOs of an exec: made before `Tasks.Exec`, read until both streams end, and removed.
//!
//! The client's pace is the process's pace: a few chunks are in flight, then the pipes fill. But the shim holds the FIFOs
//! open at both ends, so a process without a reader would not be killed but hang: when the client leaves, we go on
//! reading for nobody.
//!
//! A grandchild in the background may keep a stream open after the process has ended. As with dockerd, the client is not
//! kept waiting for it: 2 s without output after the exit are the end.

use std::{
    fs, io,
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::BytesMut;
use domain::{Error, ExecId, Result};
use nix::fcntl::{FcntlArg, fcntl};
use rpc::v1;
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::{OpenOptions, Receiver},
    sync::mpsc,
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    follow::{CHUNKS_AHEAD, Output, Sender},
    stdin::{Stdin, make_fifo},
};

const PIPE_BYTES: i32 = 1 << 20;
const CHUNK_BYTES: usize = 128 << 10;
/// How long a stream may stay silent after the process has ended.
const SILENCE: Duration = Duration::from_secs(2);

/// Which streams the client wants; a terminal has stdout for both.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecStreams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

impl ExecStreams {
    /// Without a terminal the shim wants both outputs connected, or no stream at all.
    fn connected(self) -> (bool, bool) {
        let any = self.stdin || self.stdout || self.stderr;
        match self.tty {
            true => (self.stdout, false),
            false => (any, any),
        }
    }
}

/// The FIFOs of one exec.
#[derive(Debug)]
pub struct ExecPipes {
    dir: Removed,
    stdin: Option<Stdin>,
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
    wanted: ExecStreams,
}

impl ExecPipes {
    /// Makes and opens the FIFOs in `execs/<id>`; they are removed with the last user of this value or of its streams.
    pub fn create(execs: &Path, id: &ExecId, streams: ExecStreams) -> Result<Self> {
        Self::make(execs.join(id.to_string()), streams).map_err(|e| Error::because("making the FIFOs of an exec", e))
    }

    fn make(dir: PathBuf, streams: ExecStreams) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let dir = Removed(dir, CancellationToken::new());
        let output = |wanted: bool, name: &str| wanted.then(|| open_output(&dir.0.join(name))).transpose();
        let (with_stdout, with_stderr) = streams.connected();
        let (stdout, stderr) = (output(with_stdout, "stdout")?, output(with_stderr, "stderr")?);
        let stdin = streams.stdin.then(|| Stdin::create(&dir.0.join("stdin"))).transpose().map_err(io::Error::other)?;
        Ok(Self { dir, stdin, stdout, stderr, wanted: streams })
    }

    /// For `Tasks.Exec`: stdin, stdout, stderr; empty for what is not connected.
    pub fn paths(&self) -> [String; 3] {
        let path = |there: bool, name: &str| match there {
            true => self.dir.0.join(name).to_string_lossy().into_owned(),
            false => String::new(),
        };
        [
            path(self.stdin.is_some(), "stdin"),
            path(self.stdout.is_some(), "stdout"),
            path(self.stderr.is_some(), "stderr"),
        ]
    }

    /// To be taken before `output`.
    pub fn take_stdin(&mut self) -> Option<Stdin> {
        self.stdin.take()
    }

    /// Cancelled once both streams have ended and nobody uses this value any more. `Tasks.DeleteProcess` must wait for it:
    /// containerd's shim gives a slow client 2 s, and then drops what is still in its pipes.
    pub fn ended(&self) -> CancellationToken {
        self.dir.1.clone()
    }

    /// Chunks of both streams until they end; call it once `Tasks.Start` has answered. `exited` is cancelled when the
    /// process has ended. Dropping the stream does not stop the process.
    pub fn output(self, exited: CancellationToken) -> Output {
        let (out, output) = mpsc::channel(CHUNKS_AHEAD * 2);
        let streams = [
            (self.stdout, v1::Stream::Stdout, self.wanted.stdout),
            (self.stderr, v1::Stream::Stderr, self.wanted.stderr),
        ];
        let dir = std::sync::Arc::new(self.dir);
        for (pipe, stream, wanted) in streams {
            let Some(pipe) = pipe else { continue };
            let (out, exited, dir) = (wanted.then(|| out.clone()), exited.clone(), dir.clone());
            tokio::spawn(async move {
                pump(pipe, stream, &exited, out.as_ref()).await;
                drop(dir);
            });
        }
        Output::new(output)
    }
}

/// After a restart of the agent: reads what execs of its predecessor still write, for nobody, until they end.
pub fn drain_leftovers(execs: &Path) {
    for dir in fs::read_dir(execs).into_iter().flatten().flatten() {
        let dir = std::sync::Arc::new(Removed(dir.path(), CancellationToken::new()));
        for name in ["stdout", "stderr"] {
            let Some(pipe) = reopen_output(&dir.0.join(name)) else { continue };
            let dir = dir.clone();
            tokio::spawn(async move {
                let mut pipe = pipe;
                let mut bytes = BytesMut::with_capacity(CHUNK_BYTES);
                while pipe.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
                    bytes.clear();
                }
                drop(dir);
            });
        }
    }
}

async fn pump(mut pipe: Receiver, stream: v1::Stream, exited: &CancellationToken, out: Option<&Sender>) {
    let mut bytes = BytesMut::new();
    loop {
        bytes.reserve(CHUNK_BYTES);
        let read = pipe.read_buf(&mut bytes);
        let silent = async {
            exited.cancelled().await;
            time::sleep(SILENCE).await;
        };
        let read = tokio::select! {
            biased;
            read = read => read,
            () = silent => return,
        };
        if !read.is_ok_and(|n| n > 0) {
            return;
        }
        // A client that is gone or did not ask takes nothing; the process must not notice.
        let data = bytes.split().freeze();
        let Some(out) = out else { continue };
        let chunk = v1::stream_output::Output::Chunk(v1::Chunk { stream: stream.into(), data });
        let _ = out.send(Ok(v1::StreamOutput { output: Some(chunk) })).await;
    }
}

fn open_output(path: &Path) -> io::Result<Receiver> {
    make_fifo(path)?;
    let pipe = OpenOptions::new().open_receiver(path)?;
    let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)); // refused: a smaller pipe does as well
    Ok(pipe)
}

/// None if nobody can write any more.
fn reopen_output(path: &Path) -> Option<Receiver> {
    let mut file = fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    match file.read(&mut [0; 4096]) {
        Ok(0) => None,
        Err(e) if e.kind() != io::ErrorKind::WouldBlock => None,
        _ => Receiver::from_file(file).ok(),
    }
}

/// A directory that goes with its last user, and tells so.
#[derive(Debug)]
struct Removed(PathBuf, CancellationToken);

impl Drop for Removed {
    fn drop(&mut self) {
        // Not there any more: the container was removed meanwhile.
        let _ = fs::remove_dir_all(&self.0);
        self.1.cancel();
    }
}
