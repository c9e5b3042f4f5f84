//! Bytes from one socket to another without a copy through this process: splice(2) by way of a pipe.
//!
//! The pipe exists only while bytes are on their way, so that an idle connection costs its two sockets and a small task.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, SpliceFFlags, splice},
    sys::socket::{Shutdown, shutdown},
    unistd::pipe2,
};
use tokio::{io::Interest, net::TcpStream};

/// A pipe's default capacity.
const CHUNK: usize = 64 << 10;

/// Why bytes go no further.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nothing comes any more.
    Source(io::Error),
    /// Nobody takes them any more; what that side has said before can still be read.
    Sink(io::Error),
}

impl Broken {
    pub(crate) fn cause(self) -> io::Error {
        let (Self::Source(cause) | Self::Sink(cause)) = self;
        cause
    }
}

/// Until `from` ends; then `to` is told so.
pub(crate) async fn copy(from: &TcpStream, to: &TcpStream) -> Result<(), Broken> {
    loop {
        from.readable().await.map_err(Broken::Source)?;
        if !burst(from, to).await? {
            let _ = shutdown(to.as_raw_fd(), Shutdown::Write);
            return Ok(());
        }
    }
}

/// Moves what there is. False: the end.
async fn burst(from: &TcpStream, to: &TcpStream) -> Result<bool, Broken> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(|e| Broken::Source(e.into()))?;
    loop {
        // A peer that never pauses must not keep the thread from other connections.
        tokio::task::consume_budget().await;
        match from.try_io(Interest::READABLE, || moved(from, &writer, CHUNK)) {
            Ok(0) => return Ok(false),
            Ok(held) => drain(&reader, to, held).await.map_err(Broken::Sink)?,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(e) => return Err(Broken::Source(e)),
        }
    }
}

/// Everything that the pipe holds.
async fn drain(pipe: &OwnedFd, to: &TcpStream, mut held: usize) -> io::Result<()> {
    while held > 0 {
        match to.try_io(Interest::WRITABLE, || moved(pipe, to, held)) {
            Ok(n) => held -= n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn moved(from: &impl AsFd, to: &impl AsFd, length: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    match splice(from.as_fd(), None, to.as_fd(), None, length, flags) {
        Err(Errno::EINTR) => Err(io::ErrorKind::WouldBlock.into()),
        other => other.map_err(io::Error::from),
    }
}
