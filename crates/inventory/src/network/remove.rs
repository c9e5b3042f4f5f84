//! `docker network rm`. A network with an endpoint stays, also when its container does not run: addresses are kept from
//! create to remove.

use domain::{Error, Kind, Result};

use super::{Network, event_of};
use crate::{TenantView, event, failure};

const REMOVE: &str = "WITH t AS (
        UPDATE tenants SET revision = revision + 1 WHERE id = $1 RETURNING id
    ), gone AS (
        DELETE FROM networks n USING t WHERE n.tenant_id = t.id AND n.id = $2
            AND NOT EXISTS (SELECT FROM endpoints e WHERE e.tenant_id = $1 AND e.network_id = $2)
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM gone), EXISTS (SELECT FROM networks WHERE tenant_id = $1 AND id = $2)";

impl TenantView {
    /// # Errors
    /// `Forbidden` in dockerd's words while it has endpoints; `NotFound` where somebody else was faster.
    pub async fn remove_network(&self, network: &Network) -> Result<()> {
        match self.try_remove(network).await {
            Ok((true, _)) => Ok(()),
            Ok((false, true)) => Err(in_use(network)),
            Ok((false, false)) => Err(Error::not_found(Kind::Network, network.id.as_str())),
            // A container came at the same moment.
            Err(e) if failure::violated(&e) == Some("endpoints_network_fkey") => Err(in_use(network)),
            Err(e) => Err(failure::translate("remove a network", e)),
        }
    }

    async fn try_remove(&self, network: &Network) -> sqlx::Result<(bool, bool)> {
        let mut tx = self.pool.begin().await?;
        let found: (bool, bool) =
            sqlx::query_as(REMOVE).bind(self.id.0).bind(network.id.as_str()).fetch_one(&mut *tx).await?;
        if found.0 {
            event::put(&mut *tx, self.id, &[event_of("destroy", &network.id, &network.name)]).await?;
        }
        tx.commit().await?;
        self.bell.ring();
        Ok(found)
    }
}

fn in_use(network: &Network) -> Error {
    Error::forbidden(format!(
        "error while removing network: network {} id {} has active endpoints",
        network.name, network.id
    ))
}
