//! Who has reported: a host that no scheduler has heard of takes no containers, so `up` is not ready before.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use domain::{HostId, Result};
use inventory::Inventory;

use crate::{say, site::Site};

/// An agent tries every half second. One that takes longer is in trouble, and the others' hosts need not wait for it.
const REPORTED_WITHIN: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_millis(30);

/// When each host last reported.
type Seen = HashMap<HostId, DateTime<Utc>>;

pub(crate) struct Roll {
    inventory: Inventory,
    /// Times of the database's clock are compared with one another only: it may run on another machine.
    before: Seen,
}

impl Roll {
    /// To be called before the scheduler runs: reports that are stored then are an earlier start's.
    pub(crate) async fn open(inventory: Inventory) -> Result<Self> {
        let before = seen(&inventory).await?;
        Ok(Self { inventory, before })
    }

    /// Until every host of the site has reported, or some seconds; then says which have not.
    pub(crate) async fn wait(&self, site: &Site) -> Result<()> {
        let began = Instant::now();
        loop {
            let now = seen(&self.inventory).await?;
            let missing = missing(site, &self.before, &now);
            if missing.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= REPORTED_WITHIN {
                for host in missing {
                    say::about(host, "has not reported: it takes no containers until it does");
                }
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

async fn seen(inventory: &Inventory) -> Result<Seen> {
    Ok(inventory.hosts().await?.into_iter().map(|host| (host.id, host.seen_at)).collect())
}

fn missing<'a>(site: &'a Site, before: &Seen, now: &Seen) -> Vec<&'a str> {
    let reported = |id: &HostId| now.get(id).is_some_and(|at| before.get(id).is_none_or(|earlier| at > earlier));
    site.hosts.iter().filter(|host| !reported(&host.id)).map(|host| host.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site;

    #[test]
    fn only_a_report_of_this_start_counts() {
        let site = site::sample(3);
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
        let [new, known, late] = [0, 1, 2].map(|i| site.hosts[i].id);
        let before = Seen::from([(known, at(100)), (late, at(100))]);
        assert_eq!(missing(&site, &before, &before), ["h1", "h2", "h3"]);
        let now = Seen::from([(new, at(90)), (known, at(101)), (late, at(100)), (HostId::random(), at(101))]);
        assert_eq!(missing(&site, &before, &now), ["h3"]);
    }
}
