//! What containers have written on top of their images, measured where it costs nobody a wait.
//!
//! At the end of a run, if it is quick, as a part of the exit's observation; after an exec; and of all that run, spread
//! over a period. Nothing is measured because somebody asks: `ps -s` and `system df` read what was reported.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{Result, Status};
use tokio_util::sync::CancellationToken;

use super::{Container, Engine, container::Turn};
use crate::{containerd::Mount, measure};

/// How long the end of a run may be delayed for it: a few hundred files.
const AT_EXIT: Duration = Duration::from_millis(5);
/// A larger tree keeps its last size.
const LONGEST: Duration = Duration::from_secs(60);
/// All running containers are measured once in this time.
const PERIOD: Duration = Duration::from_secs(60);
/// The disk rests this many times as long as a measurement took.
const REST: u32 = 20;

/// Measurements of one container never overlap; one that is asked for meanwhile comes behind.
#[derive(Debug, Default)]
pub struct Sizing(AtomicU8);

const IDLE: u8 = 0;
const BUSY: u8 = 1;
const AGAIN: u8 = 2;

impl Sizing {
    /// True: the caller measures.
    fn ask(&self) -> bool {
        let next = |now| Some(if now == IDLE { BUSY } else { AGAIN });
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok_and(|before| before == IDLE)
    }

    /// True: once more.
    fn done(&self) -> bool {
        let next = |now| Some(if now == AGAIN { BUSY } else { IDLE });
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok_and(|before| before == AGAIN)
    }
}

impl Engine {
    /// Soon, on a task of its own.
    pub(crate) fn measure_later(self: &Arc<Self>, container: &Arc<Container>) {
        if !container.sizing.ask() {
            return;
        }
        let (engine, container) = (self.clone(), container.clone());
        tokio::spawn(async move {
            loop {
                if let Err(error) = engine.measure(&container).await {
                    tracing::debug!(container = container.id(), error = error.operator_text(), "size not measured");
                }
                if !container.sizing.done() {
                    return;
                }
            }
        });
    }

    /// Measures all that run, one after the other, until `stop`.
    pub async fn measure_for_ever(self: Arc<Self>, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.measure_rounds()).await;
    }

    async fn measure_rounds(self: Arc<Self>) {
        loop {
            let running: Vec<_> = self.all().into_iter().filter(|c| c.status() == Status::Running).collect();
            let share = PERIOD / u32::try_from(running.len().max(1)).unwrap_or(u32::MAX);
            if running.is_empty() {
                tokio::time::sleep(share).await;
            }
            for container in running {
                let begun = Instant::now();
                self.measure_later(&container);
                tokio::time::sleep(share).await;
                // A large tree on a busy disk: no faster than it can be borne.
                while container.sizing.0.load(Ordering::Acquire) != IDLE {
                    tokio::time::sleep(begun.elapsed() * REST).await;
                }
            }
        }
    }

    async fn measure(self: &Arc<Self>, container: &Arc<Container>) -> Result<()> {
        if container.observation().removed {
            return Ok(());
        }
        let mounts = self.containerd.mounts(container.id()).await?;
        if let Some(bytes) = size_of(&mounts, LONGEST).await
            && let Some(observation) = container.note_size(bytes)
        {
            self.reports.container(observation);
            self.store_later(container);
        }
        Ok(())
    }

    /// None: it takes longer, and follows by itself.
    pub(super) async fn size_at_exit(self: &Arc<Self>, container: &Arc<Container>, turn: &Turn) -> Option<i64> {
        let size = size_of(&turn.mounts, AT_EXIT).await;
        if size.is_none() {
            self.measure_later(container);
        }
        size
    }
}

async fn size_of(mounts: &[Mount], within: Duration) -> Option<i64> {
    let upper = upper(mounts)?;
    let walked = tokio::task::spawn_blocking(move || measure::written_bytes(&upper, within));
    walked.await.ok()?.ok().flatten()
}

/// The writable directory of an overlay; of a container without layers, its one directory.
fn upper(mounts: &[Mount]) -> Option<PathBuf> {
    let mount = mounts.first()?;
    if mount.r#type == "bind" {
        return Some(PathBuf::from(&mount.source));
    }
    mount.options.iter().find_map(|o| o.strip_prefix("upperdir=")).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_that_is_asked_for_during_another_comes_behind_it() {
        let sizing = Sizing::default();
        assert!(sizing.ask());
        assert!(!sizing.ask() && !sizing.ask());
        assert!(sizing.done(), "once more");
        assert!(!sizing.done() && sizing.ask());
    }
}
