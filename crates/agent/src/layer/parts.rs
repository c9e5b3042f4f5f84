//! The layer on its way to a frontend: compressed, hashed, cut into messages, and no further ahead than a few of them.

use std::{io, time::Duration};

use bytes::Bytes;
use domain::{Digest, Result};
use sha2::{Digest as _, Sha256};
use tokio::{runtime::Handle, sync::mpsc};

/// One message: large enough to cost little, far below the peers' limit.
const CHUNK_BYTES: usize = 512 << 10;
/// A frontend that takes nothing for so long is given up: a container may stand still for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A piece of a layer's story, in the order of `layers.proto`.
#[derive(Debug)]
pub enum Shape {
    Data(Bytes),
    /// Nothing has changed since this blob was made.
    Known(Digest),
    End {
        empty: bool,
        paused: bool,
    },
}

/// Writes from a blocking thread into `sender`.
pub(crate) struct Parts {
    sender: mpsc::Sender<Result<Shape>>,
    runtime: Handle,
    pending: Vec<u8>,
    hash: Sha256,
}

impl Parts {
    /// Called on a thread of the runtime.
    pub(crate) fn to(sender: mpsc::Sender<Result<Shape>>) -> Self {
        Self { sender, runtime: Handle::current(), pending: Vec::with_capacity(CHUNK_BYTES), hash: Sha256::new() }
    }

    /// The digest of all that was written; what is still pending goes out unless `drop_it`.
    pub(crate) fn finish(mut self, drop_it: bool) -> io::Result<Digest> {
        if !drop_it && !self.pending.is_empty() {
            self.send()?;
        }
        Ok(Digest::from_sha256(&self.hash.finalize().into()))
    }

    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.pending, Vec::with_capacity(CHUNK_BYTES));
        self.hash.update(&chunk);
        let sending = self.sender.send_timeout(Ok(Shape::Data(chunk.into())), PATIENCE);
        self.runtime.block_on(sending).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl io::Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(CHUNK_BYTES - self.pending.len());
        self.pending.extend_from_slice(&bytes[..n]);
        if self.pending.len() == CHUNK_BYTES {
            self.send()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
