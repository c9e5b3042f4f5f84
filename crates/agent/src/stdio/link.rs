//! The connection to a logger: how far its records are whole, and what we still need of them.
//!
//! It sends 16 bytes, segment and offset: at connect, and then once for each message of ours, as soon as there is more
//! than we have. We send 24 bytes: segment, offset, and 1 if we must not lose a byte (then it holds the container up
//! rather than removing what we have not read). A closed socket means that the run is over.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::record::Position;

/// A full backlog of the socket is a matter of milliseconds.
const CONNECT_TRIES: u32 = 200;

/// A logger that runs.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    lossless: bool,
}

impl Link {
    /// The logger and the end of its records; None if none runs.
    pub(super) async fn connect(socket: &Path, lossless: bool) -> Option<(Self, Position)> {
        let stream = connect(socket).await.ok()?;
        let mut link = Self { stream, lossless };
        let end = link.receive().await.ok()?;
        Some((link, end))
    }

    /// Tells that everything before `at` was read, and waits for more; None once the run is over.
    pub(super) async fn more(&mut self, at: Position) -> Option<Position> {
        let mut message = [0; 24];
        for (part, number) in message.chunks_exact_mut(8).zip([at.segment, at.offset, u64::from(self.lossless)]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        self.stream.write_all(&message).await.ok()?;
        self.receive().await.ok()
    }

    async fn receive(&mut self) -> io::Result<Position> {
        Ok(Position { segment: self.stream.read_u64_le().await?, offset: self.stream.read_u64_le().await? })
    }
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (_dir, path) = short(socket)?;
    for _ in 1..CONNECT_TRIES {
        match UnixStream::connect(&path).await {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(Duration::from_millis(5)).await,
            outcome => return outcome,
        }
    }
    UnixStream::connect(&path).await
}

/// A socket address has room for 107 bytes; through a descriptor of the directory any path fits.
fn short(socket: &Path) -> io::Result<(File, PathBuf)> {
    let (Some(dir), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let dir = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(dir)?;
    let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    Ok((dir, path))
}
