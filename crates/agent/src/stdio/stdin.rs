//! Standard input of a container or an exec: a FIFO that the agent makes and writes, and containerd's shim reads.
//!
//! The FIFO is opened for reading and writing, so that neither open nor write needs the shim. It must exist before the
//! task does, since `docker run -i` sends its input before the start, and may even close it then: what was written lives
//! only as long as somebody has the FIFO open, so a close before the start is remembered, not done.
//!
//! The process sees the end of its input when our end is closed *and* the shim has let go of its own (`Tasks.CloseIO`).

use std::{fs, io, os::unix::ffi::OsStrExt, path::Path, sync::Mutex};

use domain::{Error, Result};
use nix::{
    fcntl::{FcntlArg, fcntl},
    sys::stat::Mode,
    unistd::mkfifo,
};
use tokio::{
    io::AsyncWriteExt,
    net::unix::pipe::{OpenOptions, Sender},
    sync,
};
use tokio_util::sync::CancellationToken;

/// Fewer wake-ups for a large input.
const PIPE_BYTES: i32 = 1 << 20;

/// The writing end; any number of clients may write.
#[derive(Debug)]
pub struct Stdin {
    pipe: sync::Mutex<Option<Sender>>,
    closed: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    close_asked: bool,
}

impl Stdin {
    /// Makes the FIFO anew, and with it forgets what an earlier run has not read. Not while a task uses it.
    pub fn create(path: &Path) -> Result<Self> {
        make_fifo(path).and_then(|()| Self::with(path, false)).map_err(|e| Error::because("making a FIFO for stdin", e))
    }

    /// Opens the FIFO of a task that runs, after a restart of the agent.
    pub fn adopt(path: &Path) -> Result<Self> {
        Self::with(path, true).map_err(|e| Error::because("opening the FIFO for stdin", e))
    }

    fn with(path: &Path, started: bool) -> io::Result<Self> {
        let pipe = OpenOptions::new().read_write(true).open_sender(path)?;
        let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)); // refused: a smaller pipe does as well
        Ok(Self {
            pipe: sync::Mutex::new(Some(pipe)),
            closed: CancellationToken::new(),
            state: Mutex::new(State { started, close_asked: false }),
        })
    }

    /// Waits while the process does not read. `Conflict` once stdin is closed.
    pub async fn write(&self, bytes: &[u8]) -> Result<()> {
        let write = async {
            // Held over the whole of `bytes`, so that two clients do not mix inside a message.
            let mut pipe = self.pipe.lock().await;
            match pipe.as_mut() {
                Some(pipe) => pipe.write_all(bytes).await.map_err(|e| Error::because("writing to stdin", e)),
                None => Err(Error::conflict("stdin is closed")),
            }
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Error::conflict("stdin is closed")),
            outcome = write => outcome,
        }
    }

    /// No more input. True: the caller must call `Tasks.CloseIO` now; false: nothing to do, or not yet (see `started`).
    #[must_use]
    pub async fn close(&self) -> bool {
        self.closed.cancel();
        let due = {
            let mut state = self.state();
            !std::mem::replace(&mut state.close_asked, true) && state.started
        };
        if due {
            self.pipe.lock().await.take();
        }
        due
    }

    /// The task was started. True: stdin was closed before, so the caller must call `Tasks.CloseIO` now.
    #[must_use]
    pub async fn started(&self) -> bool {
        let due = {
            let mut state = self.state();
            !std::mem::replace(&mut state.started, true) && state.close_asked
        };
        if due {
            self.pipe.lock().await.take();
        }
        due
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A new FIFO for us alone.
pub(super) fn make_fifo(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    mkfifo(path.as_os_str().as_bytes(), Mode::S_IRUSR | Mode::S_IWUSR).map_err(io::Error::from)
}
