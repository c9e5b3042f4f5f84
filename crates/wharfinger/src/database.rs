//! The inventory from the outside: reachable, migrated, with its first tenant.

use std::time::{Duration, Instant};

use domain::{Error, Result};
use inventory::Inventory;

use crate::{layout::Layout, site::Site};

/// A server that was killed recovers first.
const REACHABLE_WITHIN: Duration = Duration::from_secs(60);
const CONNECTIONS: u32 = 2;

/// Waits until the database answers, and brings its schema up to date.
pub(crate) async fn open(site: &Site) -> Result<Inventory> {
    let began = Instant::now();
    let inventory = loop {
        match Inventory::connect(&site.database_url, CONNECTIONS).await {
            Ok(inventory) => break inventory,
            Err(Error::Unavailable { .. }) if began.elapsed() < REACHABLE_WITHIN => {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            Err(e) => return Err(e),
        }
    };
    inventory.migrate().await?;
    Ok(inventory)
}

/// For commands beside a running system.
pub(crate) async fn of_running(layout: &Layout) -> Result<(Site, Inventory)> {
    let site = Site::load(layout)?;
    let inventory = Inventory::connect(&site.database_url, CONNECTIONS).await.map_err(|e| match e {
        Error::Unavailable { source, .. } => {
            Error::Unavailable { message: "the database does not answer; is `wharfinger up` running?".into(), source }
        }
        other => other,
    })?;
    Ok((site, inventory))
}
