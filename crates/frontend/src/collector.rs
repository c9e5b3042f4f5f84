//! The singleton that collects blobs which nobody refers to: one frontend at a time, under an advisory lock.
//!
//! A frontend and not a scheduler, because only frontends have the blob store. It takes no input and starts from the
//! inventory each time, so that it does not matter which frontend does it, nor when one dies in the middle.

use std::time::{Duration, Instant};

use domain::Result;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::state::App;

/// PostgreSQL takes the lock from a transaction that idles for 15 s; what is left is for the next round.
const BUDGET: Duration = Duration::from_secs(8);
/// Between two looks at the whole store; the first comes soon after the start, for what a crash left.
const THOROUGH: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn run(app: App, stop: CancellationToken) {
    if app.config.blob_collect_s == 0 {
        return;
    }
    let mut ticks = interval(Duration::from_secs(app.config.blob_collect_s));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await; // the first is at once: a starting frontend has better to do
    let mut looked: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        if looked.is_none_or(|at| at.elapsed() > THOROUGH) {
            // Not under the lock, since it may take long; it deletes nothing, so that several at once do no harm.
            match app.images.find_strays().await {
                Ok(()) => looked = Some(Instant::now()),
                Err(error) => tracing::warn!(cause = error.operator_text(), "cannot look for stray blobs"),
            }
        }
        let work = async {
            if let Err(error) = collect(&app).await {
                tracing::warn!(cause = error.operator_text(), "cannot collect blobs");
            }
        };
        if let Err(error) = app.inventory.alone("blobs", work).await {
            tracing::debug!(cause = error.operator_text(), "the collector's lock");
        }
    }
}

async fn collect(app: &App) -> Result<()> {
    let grace = Duration::from_secs(app.config.blob_grace_s).max(inventory::GRACE_LEAST);
    let collected = app.images.collect(grace, BUDGET).await?;
    if collected.blobs > 0 {
        tracing::info!(blobs = collected.blobs, bytes = collected.bytes, "collected blobs that nobody refers to");
    }
    Ok(())
}
