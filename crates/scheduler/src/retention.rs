//! Old events go: one scheduler at a time, in batches, under an advisory lock.

use std::time::Duration;

use inventory::Inventory;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const PERIOD: Duration = Duration::from_secs(60);
/// Rows in one transaction.
const BATCH: i64 = 5000;
/// Batches in one go: the lock's own transaction must not idle for long.
const BATCHES_MOST: u32 = 40;

pub(crate) async fn run(inventory: Inventory, keep: Duration, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = inventory.alone("events", trim(&inventory, keep)).await {
            tracing::debug!(error = error.operator_text(), "the lock of who trims events");
        }
    }
}

async fn trim(inventory: &Inventory, keep: Duration) {
    let mut trimmed = 0;
    for _ in 0..BATCHES_MOST {
        match inventory.trim_events(keep, BATCH).await {
            Ok(0) => break,
            Ok(rows) => trimmed += rows,
            Err(error) => {
                tracing::warn!(error = error.operator_text(), "old events stay");
                break;
            }
        }
    }
    if trimmed > 0 {
        tracing::info!(rows = trimmed, "old events are gone");
    }
}
