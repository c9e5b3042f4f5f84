//! `docker network connect` and `disconnect`: an endpoint of a container that exists.
//!
//! The tenant's row is locked first, so nobody takes the chosen address or interface name meanwhile.

use std::net::IpAddr;

use domain::{ContainerId, Endpoint, Error, NetworkId, Result, spec::NetworkWish};
use sqlx::{PgConnection, types::Json};

use super::{Network, event_of};
use crate::{TenantView, event, failure};

const LOCK: &str = "UPDATE tenants SET revision = revision + 1 WHERE id = $1";
/// As in `reserve.sql`: a random address, else any behind a used one.
const CONNECT: &str = include_str!("connect.sql");
const RUNNING: &str = "SELECT EXISTS (SELECT FROM containers
    WHERE tenant_id = $1 AND id = $2 AND status IN ('running', 'paused'))";
const DISCONNECT: &str = "WITH t AS (
        UPDATE tenants SET revision = revision + 1 WHERE id = $1 RETURNING id
    ), heard AS (
        UPDATE networks n SET generation = n.generation + 1 FROM t WHERE n.tenant_id = t.id AND n.id = $3
    )
    DELETE FROM endpoints e USING t WHERE e.tenant_id = t.id AND e.container_id = $2 AND e.network_id = $3";

#[derive(sqlx::FromRow)]
struct Connected {
    outside: bool,
    outside6: bool,
    taken: bool,
    full: bool,
    full6: bool,
    endpoint: Option<Json<Endpoint>>,
}

impl TenantView {
    /// The new endpoint.
    ///
    /// # Errors
    /// In dockerd's words: connected already, an address that is taken or outside the subnet, a network that is full.
    pub async fn connect(&self, container: &ContainerId, network: &Network, wish: &NetworkWish) -> Result<Endpoint> {
        let context = "connect a container";
        let failed = |e| failure::translate(context, e);
        let mut tx = self.pool.begin().await.map_err(failed)?;
        sqlx::query(LOCK).bind(self.id.0).execute(&mut *tx).await.map_err(failed)?;
        let connected: Connected = sqlx::query_as(CONNECT)
            .bind(self.id.0)
            .bind(network.id.as_str())
            .bind(container.as_str())
            .bind(wish.ipv4.map(|a| a.to_string()))
            .bind(wish.mac.as_deref())
            .bind(&wish.aliases)
            // Docker's endpoint ids have the form of its network ids.
            .bind(NetworkId::random().as_str())
            .bind(wish.ipv6.map(|a| a.to_string()))
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        match connected {
            Connected { endpoint: Some(endpoint), .. } => {
                self.tell(&mut tx, "connect", container, network).await.map_err(failed)?;
                tx.commit().await.map_err(failed)?;
                self.bell.ring();
                Ok(endpoint.0)
            }
            Connected { outside: true, .. } => Err(outside(wish.ipv4.map(Into::into))),
            Connected { outside6: true, .. } => Err(outside(wish.ipv6.map(Into::into))),
            Connected { taken: true, .. } => Err(Error::forbidden("Address already in use")),
            Connected { full: true, .. } => Err(full("IPv4", network)),
            Connected { full6: true, .. } => Err(full("IPv6", network)),
            Connected { .. } => Err(Error::conflict("the container or the network is being removed")),
        }
    }

    /// True if it was connected.
    pub async fn disconnect(&self, container: &ContainerId, network: &Network) -> Result<bool> {
        failure::retrying("disconnect a container", || self.try_disconnect(container, network)).await
    }

    async fn try_disconnect(&self, container: &ContainerId, network: &Network) -> sqlx::Result<bool> {
        let mut tx = self.pool.begin().await?;
        let query = sqlx::query(DISCONNECT).bind(self.id.0).bind(container.as_str()).bind(network.id.as_str());
        let was_connected = query.execute(&mut *tx).await?.rows_affected() > 0;
        if was_connected {
            self.tell(&mut tx, "disconnect", container, network).await?;
        }
        tx.commit().await?;
        self.bell.ring();
        Ok(was_connected)
    }

    /// Of a running container, as in dockerd: the others are connected with their start.
    async fn tell(
        &self,
        db: &mut PgConnection,
        action: &str,
        container: &ContainerId,
        network: &Network,
    ) -> sqlx::Result<()> {
        let running: bool =
            sqlx::query_scalar(RUNNING).bind(self.id.0).bind(container.as_str()).fetch_one(&mut *db).await?;
        match running {
            true => {
                let event = event_of(action, &network.id, &network.name).with("container", container);
                event::put(db, self.id, &[event]).await
            }
            false => Ok(()),
        }
    }
}

fn outside(address: Option<IpAddr>) -> Error {
    let address = address.map(|a| a.to_string()).unwrap_or_default();
    Error::invalid(format!(
        "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address {address}"
    ))
}

fn full(family: &str, network: &Network) -> Error {
    Error::NoCapacity(format!("no available {family} addresses on this network's address pools: {}", network.name))
}
