//! The singleton that finishes what crashes left: one scheduler at a time, under an advisory lock.
//!
//! It takes no input and starts from the database each time, so that it does not matter which scheduler does it.

use std::time::Duration;

use domain::Result;
use inventory::Inventory;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const PERIOD: Duration = Duration::from_secs(5);
/// An unfinished create that is older, and that its host does not know of, has nobody who works on it.
const UNFINISHED: Duration = Duration::from_secs(60);
/// Longer than the time between two complete reports.
const LOST: Duration = Duration::from_secs(65);

pub(crate) async fn run(inventory: Inventory, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let work = async {
            if let Err(error) = reap(&inventory).await {
                tracing::warn!(error = error.operator_text(), "cannot repair what is unfinished");
            }
        };
        if let Err(error) = inventory.alone("reaper", work).await {
            tracing::debug!(error = error.operator_text(), "the reaper's lock");
        }
    }
}

async fn reap(inventory: &Inventory) -> Result<()> {
    for row in inventory.unfinished(UNFINISHED).await? {
        if inventory.forget_missing(row.tenant, &row.container).await? {
            tracing::info!(tenant.id = %row.tenant, container.id = %row.container, host.id = %row.host, "forgot an unfinished create");
        }
    }
    for row in inventory.lost(LOST).await? {
        tracing::warn!(tenant.id = %row.tenant, container.id = %row.container, host.id = %row.host, "a host has lost a container");
        if row.auto_remove {
            inventory.forget_missing(row.tenant, &row.container).await?;
        } else {
            inventory.bury(row.tenant, &row.container).await?;
        }
    }
    Ok(())
}
