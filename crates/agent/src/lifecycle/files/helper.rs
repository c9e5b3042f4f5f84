//! One helper process: its pipes, its exit code and what that means.
//!
//! The pipe is the back-pressure: nothing is read that was not asked for. Dropped at any moment, the process is killed. Time
//! is counted only while it is the helper that we wait for.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use domain::{Error, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use super::super::Container;
use crate::Config;

/// File name among the helpers.
const NAME: &str = "wharfinger-enter";
/// A helper that neither takes nor gives a byte for this long hangs.
const STALL: Duration = Duration::from_secs(120);
const CHUNK_BYTES: usize = 256 << 10;
const TEXT_MAX_BYTES: u64 = 16 << 10;

/// Exit codes of the helper (`enter/src/failure.rs`).
const MISSING: i32 = 2;
const INVALID: i32 = 3;
const FORBIDDEN: i32 = 4;
const GONE: i32 = 5;

pub(super) struct Helper {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    buffer: BytesMut,
    _permit: OwnedSemaphorePermit,
}

/// Whether it found its container.
#[allow(clippy::large_enum_variant, reason = "one at a time, taken apart by its caller at once")]
pub(super) enum Begun {
    Yes(Helper),
    /// The run that it was to enter has ended.
    Gone,
}

impl Helper {
    /// Waits for the first byte of its output.
    pub(super) async fn begin(
        config: &Config,
        container: &Arc<Container>,
        place: &[OsString],
        verb: &[&[u8]],
    ) -> Result<Begun> {
        let mut helper = Self::spawn(config, container, place, verb).await?;
        if helper.fill().await? {
            if verb.first() == Some(&&b"put"[..]) {
                helper.buffer.clear();
            }
            return Ok(Begun::Yes(helper));
        }
        match helper.exit().await? {
            (Some(GONE), _) => Ok(Begun::Gone),
            (code, text) => Err(failure(code, text)),
        }
    }

    pub(super) async fn spawn(
        config: &Config,
        container: &Arc<Container>,
        place: &[OsString],
        verb: &[&[u8]],
    ) -> Result<Self> {
        let permit = container.helpers.clone().acquire_owned().await;
        let permit = permit.map_err(|e| Error::because("helpers of a container", e))?;
        let takes_input = verb.first() == Some(&&b"put"[..]);
        let mut command = Command::new(config.helper(NAME));
        command.args(place).arg("--").args(verb.iter().map(|word| OsStr::from_bytes(word)));
        command.env_clear().current_dir("/").kill_on_drop(true);
        command.stdin(if takes_input { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| Error::because(NAME, e))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| Error::internal("a helper without output"))?;
        Ok(Self { child, stdin, stdout, buffer: BytesMut::new(), _permit: permit })
    }

    /// False at the end of its output.
    async fn fill(&mut self) -> Result<bool> {
        self.buffer.reserve(CHUNK_BYTES);
        let n = timeout(STALL, self.stdout.read_buf(&mut self.buffer)).await.map_err(|_| hangs())?;
        Ok(n.map_err(|e| Error::because("reading from the helper", e))? > 0)
    }

    /// What is there; None at the end.
    pub(super) async fn read(&mut self) -> Result<Option<Bytes>> {
        if self.buffer.is_empty() && !self.fill().await? {
            return Ok(None);
        }
        Ok(Some(self.buffer.split().freeze()))
    }

    pub(super) async fn exactly(&mut self, bytes: usize) -> Result<Bytes> {
        while self.buffer.len() < bytes {
            if !self.fill().await? {
                self.finish().await?;
                return Err(Error::internal("the helper's output is cut"));
            }
        }
        Ok(self.buffer.split_to(bytes).freeze())
    }

    /// What comes before the next NUL; None at the end.
    pub(super) async fn until_nul(&mut self) -> Result<Option<Bytes>> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.buffer[seen..].iter().position(|b| *b == 0) {
                let mut found = self.buffer.split_to(seen + at + 1);
                found.truncate(seen + at);
                return Ok(Some(found.freeze()));
            }
            seen = self.buffer.len();
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// False: it reads no more.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<bool> {
        let Some(stdin) = &mut self.stdin else { return Ok(false) };
        match timeout(STALL, stdin.write_all(bytes)).await.map_err(|_| hangs())? {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(Error::because("writing to the helper", e)),
        }
    }

    /// The end of its input, and its verdict.
    pub(super) async fn finish(&mut self) -> Result<()> {
        self.stdin = None;
        match self.exit().await? {
            (Some(0), _) => Ok(()),
            (code, text) => Err(failure(code, text)),
        }
    }

    pub(super) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    async fn exit(&mut self) -> Result<(Option<i32>, String)> {
        let mut text = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            let _ = timeout(STALL, stderr.take(TEXT_MAX_BYTES).read_to_end(&mut text)).await;
        }
        let status = timeout(STALL, self.child.wait()).await.map_err(|_| hangs())?;
        let status = status.map_err(|e| Error::because("waiting for the helper", e))?;
        Ok((status.code(), String::from_utf8_lossy(&text).into_owned()))
    }
}

fn hangs() -> Error {
    Error::internal("the helper hangs")
}

fn failure(code: Option<i32>, text: String) -> Error {
    match code {
        Some(MISSING) => Error::Missing(text),
        Some(INVALID) => Error::invalid(text),
        Some(FORBIDDEN) => Error::forbidden(text),
        Some(GONE) => super::changing(),
        _ => Error::internal(format!("{NAME} ended with {code:?}: {text}")),
    }
}
