//! The ports of a container that starts: all of them, or none and the reason.
//!
//! The tenant's row is locked first, so nobody of the tenant takes a chosen port meanwhile; a port of the host that another
//! tenant takes at the same moment is the unique constraint's affair, and the statement is tried again.

use domain::{AddressState, Error, HostPort, PortWish, Protocol, Result};
use sqlx::PgConnection;

use super::state;
use crate::{Container, TenantView, failure};

/// Ports of a host's underlay address that lead to containers: below Linux's own ephemeral ports (32768-60999), above what
/// services usually have.
const HOST_PORTS: (i32, i32) = (20_000, 29_999);
/// Where `-P` and port 0 choose: Linux's ephemeral ports, as with dockerd.
const EPHEMERAL: (i32, i32) = (32_768, 60_999);

const LOCK: &str = "SELECT host(address) FROM tenants WHERE id = $1 FOR NO KEY UPDATE";
const HELD: &str = "SELECT protocol, host_port, container_port FROM published_ports
    WHERE tenant_id = $1 AND container_id = $2 ORDER BY place";
/// The first that is free of the range; of the ephemeral ones a random one, so that a port is not soon somebody else's.
const CHOOSE: &str = "SELECT x.port FROM (
        SELECT $3 + floor(random() * ($4 - $3 + 1))::int AS port FROM generate_series(1, 16) WHERE $5
        UNION ALL SELECT * FROM generate_series($3, $4)
    ) x WHERE NOT EXISTS (
        SELECT FROM published_ports o WHERE o.tenant_id = $1 AND o.protocol = $2 AND o.port = x.port)
    LIMIT 1";
const INSERT: &str =
    "INSERT INTO published_ports (tenant_id, container_id, place, protocol, port, container_port, host_id,
        host_port, proxy_protocol)
    SELECT $1, $2, $3, $4, $5, $6, c.host_id, h.port, $7
    FROM containers c, LATERAL (
        SELECT x.port FROM (
            SELECT $8 + floor(random() * ($9 - $8 + 1))::int AS port FROM generate_series(1, 16)
            UNION ALL SELECT * FROM generate_series($8, $9)
        ) x WHERE NOT EXISTS (
            SELECT FROM published_ports o WHERE o.host_id = c.host_id AND o.protocol = $4 AND o.host_port = x.port)
        LIMIT 1
    ) h
    WHERE c.tenant_id = $1 AND c.id = $2
    RETURNING host_port";
const STARTING: &str = "UPDATE published_ports SET starting = true, taken_at = now()
    WHERE tenant_id = $1 AND container_id = $2";
const STARTED: &str = "UPDATE published_ports SET starting = false WHERE tenant_id = $1 AND container_id = $2";
const RELEASE_IF_OVER: &str = "DELETE FROM published_ports p USING containers c
    WHERE p.tenant_id = $1 AND p.container_id = $2 AND c.tenant_id = $1 AND c.id = $2
      AND c.status NOT IN ('running', 'paused', 'restarting')";

/// What is published of a container, and what edges must hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// For the container's host.
    pub ports: Vec<HostPort>,
    /// Everything at the tenant's address.
    pub address: AddressState,
}

enum Outcome {
    Published(Publication),
    Refused(Error),
}

impl TenantView {
    /// Publishes what the container's spec asks for. What it holds already stays as it is.
    ///
    /// # Errors
    /// `Conflict` in dockerd's words when a port is taken, `NoCapacity` when the host has none left.
    pub async fn publish(&self, container: &Container) -> Result<Publication> {
        match failure::retrying("publish ports", || self.try_publish(container)).await? {
            Outcome::Published(publication) => Ok(publication),
            Outcome::Refused(error) => Err(error),
        }
    }

    /// The start that took them is over: of a container that does not run they are released, else by the end of the run.
    pub async fn published(&self, container: &Container) -> Result<()> {
        failure::retrying("keep published ports", || self.try_settle(container)).await
    }

    async fn try_settle(&self, container: &Container) -> sqlx::Result<()> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(LOCK).bind(self.id.0).execute(&mut *tx).await?;
        for statement in [RELEASE_IF_OVER, STARTED] {
            sqlx::query(statement).bind(self.id.0).bind(container.id.as_str()).execute(&mut *tx).await?;
        }
        tx.commit().await
    }

    async fn try_publish(&self, container: &Container) -> sqlx::Result<Outcome> {
        let mut tx = self.pool.begin().await?;
        let address: Option<String> = sqlx::query_scalar(LOCK).bind(self.id.0).fetch_one(&mut *tx).await?;
        let Some(address) = address else {
            let error = Error::unsupported("HostConfig.PortBindings: this data centre has no addresses for tenants");
            return Ok(Outcome::Refused(error));
        };
        let mut ports = self.held(&mut tx, container).await?;
        if !ports.is_empty() {
            sqlx::query(STARTING).bind(self.id.0).bind(container.id.as_str()).execute(&mut *tx).await?;
        } else {
            for (place, wish) in container.spec.ports.iter().enumerate() {
                match self.take(&mut tx, container, place, wish, &address).await? {
                    Ok(port) => ports.push(port),
                    Err(error) => return Ok(Outcome::Refused(error)),
                }
            }
        }
        let address = state::of_tenant(&mut tx, self.id).await?;
        tx.commit().await?;
        Ok(Outcome::Published(Publication { ports, address }))
    }

    async fn held(&self, db: &mut PgConnection, container: &Container) -> sqlx::Result<Vec<HostPort>> {
        let rows: Vec<(String, i32, i32)> =
            sqlx::query_as(HELD).bind(self.id.0).bind(container.id.as_str()).fetch_all(db).await?;
        let ports = rows.into_iter().map(|(protocol, host_port, container_port)| {
            let protocol = if protocol == Protocol::Udp.as_str() { Protocol::Udp } else { Protocol::Tcp };
            HostPort { protocol, host_port: number(host_port), container_port: number(container_port) }
        });
        Ok(ports.collect())
    }

    async fn take(
        &self,
        db: &mut PgConnection,
        container: &Container,
        place: usize,
        wish: &PortWish,
        address: &str,
    ) -> sqlx::Result<Result<HostPort>> {
        let (any, (first, last)) = match wish.host_ports {
            (0, 0) => (true, EPHEMERAL),
            (first, last) => (false, (i32::from(first), i32::from(last))),
        };
        let chosen: Option<i32> = sqlx::query_scalar(CHOOSE)
            .bind(self.id.0)
            .bind(wish.protocol.as_str())
            .bind(first)
            .bind(last)
            .bind(any)
            .fetch_optional(&mut *db)
            .await?;
        let Some(port) = chosen else { return Ok(Err(taken(container, address, first, last))) };
        let host_port: Option<i32> = sqlx::query_scalar(INSERT)
            .bind(self.id.0)
            .bind(container.id.as_str())
            .bind(i16::try_from(place).unwrap_or(i16::MAX))
            .bind(wish.protocol.as_str())
            .bind(port)
            .bind(i32::from(wish.container_port))
            .bind(wish.proxy_protocol)
            .bind(HOST_PORTS.0)
            .bind(HOST_PORTS.1)
            .fetch_optional(db)
            .await?;
        let full = || Error::NoCapacity("the container's host has no port left to publish".to_owned());
        let of =
            |port| HostPort { protocol: wish.protocol, host_port: number(port), container_port: wish.container_port };
        Ok(host_port.map(of).ok_or_else(full))
    }
}

/// dockerd's words; they do not tell whose it is.
fn taken(container: &Container, address: &str, first: i32, last: i32) -> Error {
    let why = match first == last {
        true => format!("Bind for {address}:{first} failed: port is already allocated"),
        false => "all ports are allocated".to_owned(),
    };
    let endpoint = container.endpoints.first().map_or("", |e| &e.endpoint_id);
    Error::conflict(format!(
        "driver failed programming external connectivity on endpoint {} ({endpoint}): {why}",
        container.name
    ))
}

/// Columns of ports hold ports.
fn number(column: i32) -> u16 {
    u16::try_from(column).unwrap_or_default()
}
