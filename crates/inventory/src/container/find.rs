//! Look-up of one container by what a tenant wrote: full id, exact name, unique prefix of an id, in this order.
//!
//! One round trip each way. A reference of 64 hexadecimal digits is nearly always an id, so that is asked first; only a
//! container whose *name* looks like an id costs a second query.

use domain::{Error, Kind, Result};

use super::{Container, row::ContainerRow};
use crate::{TenantView, failure, sql::summary_columns};

const BY_ID: &str = concat!(
    "SELECT ",
    summary_columns!(),
    ", c.spec, c.docker_config, c.docker_host_config
    FROM containers c JOIN hosts h ON h.id = c.host_id WHERE c.tenant_id = $1 AND c.id = $2"
);

/// `~>=~` and `~<~` compare bytes, whatever the collation, and are what the prefix index serves.
const BY_REFERENCE: &str = concat!(
    "WITH hit AS MATERIALIZED (
        SELECT id, 0 AS rank FROM containers WHERE tenant_id = $1 AND name = $2
        UNION ALL
        (SELECT id, 1 FROM containers WHERE tenant_id = $1 AND id ~>=~ $3 AND id ~<~ $4 LIMIT 2)
    ) SELECT ",
    summary_columns!(),
    ", c.spec, c.docker_config, c.docker_host_config
    FROM hit JOIN containers c ON c.tenant_id = $1 AND c.id = hit.id JOIN hosts h ON h.id = c.host_id
    WHERE hit.rank = (SELECT min(rank) FROM hit)"
);

impl TenantView {
    /// `NotFound` shows the reference as given; several hits on a prefix are dockerd's 400.
    pub async fn container(&self, reference: &str) -> Result<Container> {
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if name.len() == 64
            && is_hex(name)
            && let Some(row) = self.container_by_id(name).await?
        {
            return row.try_into();
        }
        let mut rows = self.containers_like(name).await?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => row.try_into(),
            (Some(_), false) => Err(Error::invalid(format!("Multiple IDs found with provided prefix: {reference}"))),
            (None, _) => Err(Error::not_found(Kind::Container, reference)),
        }
    }

    async fn container_by_id(&self, id: &str) -> Result<Option<ContainerRow>> {
        let query = || sqlx::query_as(BY_ID).bind(self.id.0).bind(id).fetch_optional(&self.pool);
        failure::retrying("find a container", query).await
    }

    async fn containers_like(&self, name: &str) -> Result<Vec<ContainerRow>> {
        let (from, below) = prefix_range(name);
        let query =
            || sqlx::query_as(BY_REFERENCE).bind(self.id.0).bind(name).bind(&from).bind(&below).fetch_all(&self.pool);
        failure::retrying("find a container", query).await
    }
}

fn is_hex(s: &str) -> bool {
    s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The ids that begin with `prefix`, as a half-open range; an empty one where it cannot begin an id.
pub(crate) fn prefix_range(prefix: &str) -> (String, String) {
    if prefix.is_empty() || !is_hex(prefix) {
        return (String::new(), String::new());
    }
    // `g` sorts after every hexadecimal digit.
    (prefix.to_owned(), format!("{prefix}g"))
}
