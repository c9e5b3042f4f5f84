//! Step containers of builds that nobody works on any more (their frontend died, or could not remove them) are removed: by
//! one frontend at a time, under an advisory lock.
//!
//! A frontend and not a scheduler, since a frontend speaks to agents. It takes no input and starts from the inventory.

use std::time::Duration;

use domain::{Error, Result};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{handlers::containers::remove, state::App};

const PERIOD: Duration = Duration::from_secs(3);
/// A build whose frontend says nothing for so long has none.
pub(super) const SILENT: Duration = Duration::from_secs(30);

pub(crate) async fn run(app: App, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let work = async {
            if let Err(error) = sweep(&app).await {
                tracing::warn!(cause = error.operator_text(), "cannot remove abandoned build steps");
            }
        };
        if let Err(error) = app.inventory.alone("builds", work).await {
            tracing::debug!(cause = error.operator_text(), "the lock of abandoned builds");
        }
    }
}

async fn sweep(app: &App) -> Result<()> {
    for step in app.inventory.abandoned_steps(SILENT).await? {
        let rows = app.inventory.tenant(step.tenant);
        match remove::from(app, &rows, &step.container).await {
            Ok(()) => {
                tracing::info!(tenant.id = %step.tenant, container.id = %step.container, "removed an abandoned build step")
            }
            Err(Error::NotFound { .. }) => {}
            Err(error) => {
                tracing::debug!(container.id = %step.container, cause = error.operator_text(), "an abandoned build step stays");
            }
        }
    }
    Ok(())
}
