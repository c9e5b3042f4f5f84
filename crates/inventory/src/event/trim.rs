//! The end of old events. In batches, so that a long backlog never makes one long transaction.

use std::time::Duration;

use domain::Result;

use crate::{Inventory, failure};

/// The oldest by transaction, and of these the ones that are old enough: never a look at the whole log.
const TRIM: &str = "DELETE FROM events e USING (
        SELECT tenant_id, id, stored_at FROM events ORDER BY xid LIMIT $2
    ) oldest
    WHERE e.tenant_id = oldest.tenant_id AND e.id = oldest.id
      AND oldest.stored_at < now() - make_interval(secs => $1)";

impl Inventory {
    /// Deletes at most `most` events that were stored longer ago; how many it were.
    pub async fn trim_events(&self, older_than: Duration, most: i64) -> Result<u64> {
        let query = || sqlx::query(TRIM).bind(older_than.as_secs_f64()).bind(most).execute(&self.pool);
        Ok(failure::retrying("trim the events", query).await?.rows_affected())
    }
}
