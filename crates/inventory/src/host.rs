//! Hosts: what their agents say of them, and what is free on them.

use chrono::{DateTime, Utc};
use domain::{Error, Host, HostFacts, HostId, HostState, Kind, Result};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Inventory, failure};

#[derive(sqlx::FromRow)]
pub(crate) struct HostRow {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) facts: Json<HostFacts>,
    pub(crate) cpu_millis_free: i64,
    pub(crate) memory_bytes_free: i64,
    pub(crate) containers: i64,
    pub(crate) seen_at: DateTime<Utc>,
}

impl From<HostRow> for Host {
    fn from(row: HostRow) -> Self {
        Self {
            id: HostId(row.id),
            name: row.name,
            // The column allows two values; what is not active takes nothing new.
            state: if row.state == "active" { HostState::Active } else { HostState::Cordoned },
            facts: row.facts.0,
            cpu_millis_free: row.cpu_millis_free,
            memory_bytes_free: row.memory_bytes_free,
            containers: row.containers,
            seen_at: row.seen_at,
        }
    }
}

/// A host whose size changed keeps what is reserved on it: the free part changes by the difference.
const REGISTER: &str = "INSERT INTO hosts AS h (id, name, facts, cpu_millis_free, memory_bytes_free)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT ON CONSTRAINT hosts_pkey DO UPDATE SET
        name = excluded.name,
        facts = excluded.facts,
        cpu_millis_free = h.cpu_millis_free + excluded.cpu_millis_free - (h.facts->>'cpu_millis')::bigint,
        memory_bytes_free = h.memory_bytes_free + excluded.memory_bytes_free - (h.facts->>'memory_bytes')::bigint,
        seen_at = now()";
const SEEN: &str = "UPDATE hosts SET seen_at = now() WHERE id = $1";
const SET_STATE: &str = "UPDATE hosts SET state = $2 WHERE id = $1";
const ALL: &str = "SELECT id, name, state, facts, cpu_millis_free, memory_bytes_free, containers, seen_at
    FROM hosts ORDER BY name";
const ONE: &str = "SELECT id, name, state, facts, cpu_millis_free, memory_bytes_free, containers, seen_at
    FROM hosts WHERE id = $1";

impl Inventory {
    /// New, or known with perhaps other facts. `Conflict` when another host has that name.
    pub async fn register_host(&self, id: HostId, name: &str, facts: &HostFacts) -> Result<()> {
        let context = "register a host";
        let done = sqlx::query(REGISTER)
            .bind(id.0)
            .bind(name)
            .bind(Json(facts))
            .bind(facts.cpu_millis)
            .bind(facts.memory_bytes)
            .execute(&self.pool)
            .await;
        match done {
            Ok(_) => Ok(()),
            Err(cause) if failure::violated(&cause) == Some("hosts_name_unique") => {
                Err(Error::conflict(format!("another host is named {name:?}")))
            }
            Err(cause) => Err(failure::translate(context, cause)),
        }
    }

    /// Its agent is there; false if no such host is registered.
    pub async fn host_seen(&self, id: HostId) -> Result<bool> {
        let done =
            failure::retrying("note a sign of life", || sqlx::query(SEEN).bind(id.0).execute(&self.pool)).await?;
        Ok(done.rows_affected() > 0)
    }

    pub async fn set_host_state(&self, id: HostId, state: HostState) -> Result<()> {
        let text = match state {
            HostState::Active => "active",
            HostState::Cordoned => "cordoned",
        };
        let query = || sqlx::query(SET_STATE).bind(id.0).bind(text).execute(&self.pool);
        match failure::retrying("set a host's state", query).await?.rows_affected() {
            0 => Err(Error::not_found(Kind::Host, id.to_string())),
            _ => Ok(()),
        }
    }

    /// By name.
    pub async fn hosts(&self) -> Result<Vec<Host>> {
        let rows: Vec<HostRow> = failure::retrying("list hosts", || sqlx::query_as(ALL).fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    pub async fn host(&self, id: HostId) -> Result<Host> {
        failure::retrying("find a host", || sqlx::query_as(ONE).bind(id.0).fetch_optional(&self.pool))
            .await?
            .map(|row: HostRow| row.into())
            .ok_or_else(|| Error::not_found(Kind::Host, id.to_string()))
    }
}
