//! What `ps` shows. Filters are the frontend's: they work on what this returns.

use domain::Result;

use super::{ContainerSummary, row::SummaryRow};
use crate::{TenantView, failure, sql::summary_columns};

const ALL: &str = concat!(
    "SELECT ",
    summary_columns!(),
    " FROM containers c JOIN hosts h ON h.id = c.host_id
    WHERE c.tenant_id = $1 ORDER BY c.created_at DESC, c.id"
);

impl TenantView {
    /// Newest first, in one query.
    pub async fn containers(&self) -> Result<Vec<ContainerSummary>> {
        let query = || sqlx::query_as(ALL).bind(self.id.0).fetch_all(&self.pool);
        let rows: Vec<SummaryRow> = failure::retrying("list containers", query).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}
