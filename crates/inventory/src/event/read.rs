//! Reading the log, in windows of transaction ids.
//!
//! A *horizon* is the id of the oldest transaction that still runs: all below have ended, so what they wrote is complete
//! and never grows. A reader that goes from horizon to horizon skips nothing that is committed late, and sees nothing
//! twice. Inside a window rows go by `id`, and not by transaction: of two transactions that wait for the same tenant's row,
//! the one that began first may write last; both are then in the same window, since neither ends before the other holds
//! the row.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use domain::{Error, Event, EventType, Result, TenantId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Inventory, TenantView, failure};

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub tenant: TenantId,
    pub id: i64,
    /// Of the transaction that wrote it.
    pub xid: u64,
    pub event: Event,
}

/// What became complete between two looks.
#[derive(Debug, Default)]
pub struct Window {
    /// The new horizon.
    pub upto: u64,
    /// Rows are there already that a transaction still holds back: look again soon.
    pub pending: bool,
    /// Of all tenants.
    pub events: Vec<Recorded>,
}

#[derive(sqlx::FromRow)]
struct WindowRow {
    horizon: String,
    pending: bool,
    #[sqlx(flatten)]
    event: MaybeRow,
}

#[derive(sqlx::FromRow)]
struct MaybeRow {
    tenant_id: Option<Uuid>,
    id: Option<i64>,
    xid: Option<String>,
    at_ns: Option<i64>,
    r#type: Option<String>,
    action: Option<String>,
    actor: Option<String>,
    attributes: Option<Json<BTreeMap<String, String>>>,
}

/// xid8 travels as text: the client library has no type for it.
const HORIZON: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text";
/// Every transaction that has committed by now is below it.
const BARRIER: &str = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
const WINDOW: &str = "WITH now AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS horizon)
    SELECT now.horizon::text, EXISTS (SELECT FROM events WHERE xid >= now.horizon) AS pending,
        e.tenant_id, e.id, e.xid::text, e.at_ns, e.type, e.action, e.actor, e.attributes
    FROM now LEFT JOIN events e ON e.xid >= $1::text::xid8 AND e.xid < now.horizon
    ORDER BY e.id";
/// Times of storage and ids are given at the same moment, but not in one step: hence the margin of the caller.
const BEGINNING: &str = "SELECT min(id) FROM (
        SELECT id FROM events WHERE tenant_id = $1 AND stored_at >= $2 ORDER BY stored_at LIMIT 100) first";
/// IS TRUE keeps the planner off the index of transactions, which holds all tenants' rows in another order.
const PAGE: &str = "SELECT tenant_id, id, xid::text, at_ns, type, action, actor, attributes FROM events
    WHERE tenant_id = $1 AND id >= $2 AND (xid >= $3::text::xid8 AND xid < $4::text::xid8) IS TRUE
      AND at_ns BETWEEN $5 AND $6
    ORDER BY id LIMIT $7";
/// A database that was restored into another server counts its transactions anew: what is above is from the old one, and
/// complete.
pub(crate) const ADOPT: &str = "UPDATE events SET xid = '3' WHERE xid > pg_snapshot_xmax(pg_current_snapshot())";

impl Inventory {
    pub async fn events_horizon(&self) -> Result<u64> {
        self.xid(HORIZON).await
    }

    /// A horizon that is not below this shows everything that was committed before the call.
    pub async fn events_barrier(&self) -> Result<u64> {
        self.xid(BARRIER).await
    }

    async fn xid(&self, query: &'static str) -> Result<u64> {
        let text: String =
            failure::retrying("read the horizon", || sqlx::query_scalar(query).fetch_one(&self.pool)).await?;
        number(&text)
    }

    /// From a horizon up to the present one, of all tenants.
    pub async fn events_since(&self, horizon: u64) -> Result<Window> {
        let from = horizon.to_string();
        let query = || sqlx::query_as(WINDOW).bind(&from).fetch_all(&self.pool);
        let rows: Vec<WindowRow> = failure::retrying("read events", query).await?;
        let mut window = Window { upto: horizon, ..Window::default() };
        for row in rows {
            window.upto = number(&row.horizon)?;
            window.pending = row.pending;
            if let Some(event) = row.event.read()? {
                window.events.push(event);
            }
        }
        Ok(window)
    }
}

/// Which part of a tenant's log.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Horizons: from the first, below the second.
    pub xids: (u64, u64),
    /// Unix nanoseconds, both included.
    pub at_ns: (i64, i64),
}

impl TenantView {
    /// An id that is not above that of any event from this time on; None where there is none yet.
    pub async fn events_beginning(&self, since: DateTime<Utc>) -> Result<Option<i64>> {
        let since = since.checked_sub_signed(Duration::seconds(5)).unwrap_or(since);
        // Postgres counts from 4714 BC, Docker's clients say 0.
        let since = since.max(DateTime::UNIX_EPOCH);
        let query = || sqlx::query_scalar(BEGINNING).bind(self.id.0).bind(since).fetch_one(&self.pool);
        failure::retrying("find the first event", query).await
    }

    /// At most `most` events with ids from `from` on, in order.
    pub async fn events(&self, from: i64, span: &Span, most: i64) -> Result<Vec<Recorded>> {
        let (above, below) = (span.xids.0.to_string(), span.xids.1.to_string());
        let query = || {
            sqlx::query_as(PAGE)
                .bind(self.id.0)
                .bind(from)
                .bind(&above)
                .bind(&below)
                .bind(span.at_ns.0)
                .bind(span.at_ns.1)
                .bind(most)
                .fetch_all(&self.pool)
        };
        let rows: Vec<MaybeRow> = failure::retrying("read events", query).await?;
        rows.into_iter().filter_map(|row| row.read().transpose()).collect()
    }
}

impl MaybeRow {
    /// None for the row of a window without events.
    fn read(self) -> Result<Option<Recorded>> {
        let (Some(tenant), Some(id), Some(xid), Some(at_ns)) = (self.tenant_id, self.id, self.xid, self.at_ns) else {
            return Ok(None);
        };
        let kind = self.r#type.unwrap_or_default();
        let kind = EventType::ALL.into_iter().find(|k| k.as_str() == kind);
        let event = Event {
            kind: kind.ok_or_else(|| Error::internal("an event of an unknown type"))?,
            action: self.action.unwrap_or_default(),
            actor: self.actor.unwrap_or_default(),
            attributes: self.attributes.map(|a| a.0).unwrap_or_default(),
            at: DateTime::from_timestamp_nanos(at_ns),
        };
        Ok(Some(Recorded { tenant: TenantId(tenant), id, xid: number(&xid)?, event }))
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|e| Error::because("read a transaction's id", e))
}
