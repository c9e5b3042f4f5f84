//! The layer of a container: what it changed, for commit and build.
//!
//! A running container is frozen while it is read, directly in its cgroup, and is not "paused" for anybody. Whatever
//! becomes of the reading, it thaws: the work is a task of its own that no caller ends, a signal thaws it at once (see
//! `stop`), and a marker file tells the agent's successor.
//!
//! A layer that was made while nothing could change is remembered by the tree's signature. Pages that a process has
//! mapped for writing could change without a trace, so a container with such a mapping is not remembered.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use domain::{ContainerId, Digest, Error, Result, Status, TenantId};
use tokio::sync::mpsc;

use super::{Container, Engine, freezer::Freezer};
use crate::layer::{Parts, Shape, Signature, Upper};

/// Messages that the reader may be ahead of the wire.
const AHEAD: usize = 4;
/// The fastest: most layers are small, and what is large mostly waits for the disk.
const ZSTD_LEVEL: i32 = 1;

/// What a container has for its layers.
#[derive(Default)]
pub struct LayerState {
    /// One reading at a time.
    turn: tokio::sync::Mutex<()>,
    frozen: Mutex<Option<Freezer>>,
    made: Mutex<Option<Made>>,
}

struct Made {
    signature: [u8; 32],
    digest: Digest,
}

impl Engine {
    /// The layer as it is read. `anew`: also if it is known.
    pub fn make_layer(
        self: &Arc<Self>,
        tenant: TenantId,
        id: &ContainerId,
        pause: bool,
        anew: bool,
    ) -> Result<mpsc::Receiver<Result<Shape>>> {
        let container = self.find(tenant, id)?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let engine = self.clone();
        tokio::spawn(async move {
            let end = engine.read_layer(&container, pause, anew, &sender).await;
            let _ = sender.send(end).await;
        });
        Ok(receiver)
    }

    async fn read_layer(
        &self,
        container: &Arc<Container>,
        pause: bool,
        anew: bool,
        sender: &mpsc::Sender<Result<Shape>>,
    ) -> Result<Shape> {
        let _one = container.layer.turn.lock().await;
        let mounts = {
            let mut turn = container.turn.lock().await;
            if turn.mounts.is_empty() {
                turn.mounts = self.containerd.mounts(container.id()).await?;
            }
            if pause {
                container.freeze().await?;
            }
            turn.mounts.clone()
        };
        let paused = container.is_frozen();
        let read = match Upper::of(&mounts) {
            Some(upper) => read(container.clone(), upper, anew, sender.clone()).await,
            None => Err(Error::internal(format!("unexpected snapshot mounts: {mounts:?}"))),
        };
        // In turn: a pause that is under way decides whether the container stays frozen.
        let _turn = container.turn.lock().await;
        container.thaw();
        Ok(Shape::End { empty: read?, paused })
    }
}

/// True where the layer is empty.
async fn read(
    container: Arc<Container>,
    upper: Upper,
    anew: bool,
    sender: mpsc::Sender<Result<Shape>>,
) -> Result<bool> {
    let name = container.id().to_owned();
    let reading = tokio::task::spawn_blocking(move || container.read_upper(&upper, anew, sender));
    let read = reading.await.map_err(|e| Error::because("reading a container's layer", e))?;
    read.map_err(|e| match e.kind() {
        io::ErrorKind::InvalidFilename => {
            Error::invalid(format!("container {name} holds a path that is too long for a layer"))
        }
        io::ErrorKind::BrokenPipe => Error::unavailable("the caller does not take the layer"),
        _ => Error::because("reading a container's layer", e),
    })
}

impl Container {
    /// Blocks.
    fn read_upper(&self, upper: &Upper, anew: bool, sender: mpsc::Sender<Result<Shape>>) -> io::Result<bool> {
        let begun = SystemTime::now();
        let still = self.stands_still();
        if still
            && !anew
            && let Some(known) = self.known_layer(upper)?
        {
            let _ = sender.blocking_send(Ok(Shape::Known(known)));
            return Ok(false);
        }
        let mut encoder = zstd::Encoder::new(Parts::to(sender), ZSTD_LEVEL)?;
        let read = upper.write(&mut encoder)?;
        let digest = encoder.finish()?.finish(read.empty)?;
        let settled = still && self.stands_still() && read.signature.is_settled_at(begun);
        *lock(&self.layer.made) = (settled && !read.empty).then(|| Made { signature: read.signature.bytes(), digest });
        Ok(read.empty)
    }

    fn known_layer(&self, upper: &Upper) -> io::Result<Option<Digest>> {
        let Some((signature, digest)) = lock(&self.layer.made).as_ref().map(|m| (m.signature, m.digest.clone())) else {
            return Ok(None);
        };
        let now: Signature = upper.sign()?;
        Ok((now.bytes() == signature).then_some(digest))
    }

    /// Nothing can write now, and nothing has a way to write later that leaves no trace.
    fn stands_still(&self) -> bool {
        match self.status() {
            Status::Created | Status::Exited | Status::Dead => true,
            Status::Running if self.is_frozen() => match &*lock(&self.layer.frozen) {
                Some(freezer) => freezer.processes().is_ok_and(|pids| !pids.into_iter().any(maps_a_file_for_writing)),
                None => false,
            },
            _ => false,
        }
    }

    /// Called in turn. Only what runs is frozen; one that is paused stays so.
    async fn freeze(self: &Arc<Self>) -> Result<()> {
        let state = self.state();
        if state.status() != Status::Running {
            return Ok(());
        }
        let failed = |e| Error::unavailable_because("the container cannot be paused, try again", e);
        fs::write(self.frozen_marker(), "").map_err(failed)?;
        let pid = state.observation.pid;
        let frozen = tokio::task::spawn_blocking(move || Freezer::freeze(pid));
        let frozen = frozen.await.map_err(|e| Error::because("freezing a container", e))?;
        match frozen {
            Ok(freezer) => *lock(&self.layer.frozen) = Some(freezer),
            // It has just ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        lock(&self.layer.frozen).is_some()
    }

    /// runc starts nothing in a frozen container, and nobody knows of this freeze: whoever would start something waits.
    pub(super) async fn until_read(&self) {
        if self.is_frozen() {
            drop(self.layer.turn.lock().await);
        }
    }

    /// Idempotent. A container that was paused meanwhile stays frozen.
    pub(super) fn thaw(&self) {
        let frozen = lock(&self.layer.frozen).take();
        if let Some(freezer) = frozen.filter(|_| self.status() != Status::Paused)
            && let Err(error) = freezer.thaw()
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(container = self.id(), %error, "a container stays frozen");
            return;
        }
        let _ = fs::remove_file(self.frozen_marker());
    }

    /// The predecessor died while it read a layer. True where this thawed the container.
    pub(super) fn thaw_leftover(&self, pid: u32) -> bool {
        if !self.frozen_marker().exists() {
            return false;
        }
        *lock(&self.layer.frozen) = Freezer::of(pid).ok();
        self.thaw();
        self.status() == Status::Running
    }

    fn frozen_marker(&self) -> PathBuf {
        self.run_dir.join("frozen")
    }
}

/// Shared and writable: the kernel stamps the file when a page becomes dirty, not at each write. `/dev` and anonymous
/// memory have no part in a layer.
fn maps_a_file_for_writing(pid: u32) -> bool {
    let Ok(maps) = fs::read_to_string(format!("/proc/{pid}/maps")) else { return true };
    maps.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace();
        let access = fields.nth(1).unwrap_or_default().as_bytes();
        access.get(1) == Some(&b'w') && access.get(3) == Some(&b's') && fields.nth(2) != Some("0")
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writable_shared_mapping_is_seen() {
        assert!(!maps_a_file_for_writing(std::process::id()));
        assert!(maps_a_file_for_writing(u32::MAX));
    }
}
