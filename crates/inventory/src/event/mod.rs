//! The log of events: rows that are written in the transaction of the change that they tell of.
//!
//! Whoever changes a row inside this crate calls [`put`] in the same transaction; what is not a row (an attach, a pull)
//! comes through [`TenantView::record`]. Neither wakes readers by itself: the [`Bell`] does, from a transaction of its own.

mod arrays;
mod bell;
mod read;
mod trim;

use std::collections::BTreeMap;

use domain::{Event, EventType, Result, TenantId};
use sqlx::PgExecutor;

use crate::{Container, ContainerSummary, TenantView, failure, sql::now_ns};

pub(crate) use arrays::Arrays;
pub(crate) use bell::Bell;
pub use bell::Listener;
pub(crate) use read::ADOPT;
pub use read::{Recorded, Span, Window};

/// An exec's command may be as long as a request.
const ACTION_MAX_BYTES: usize = 8 << 10;

const PUT: &str = concat!(
    "INSERT INTO events (tenant_id, at_ns, type, action, actor, attributes)
    SELECT $1, least(e.at_ns, ",
    now_ns!(),
    "), e.type, e.action, e.actor, e.attributes::jsonb
    FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY
        AS e (at_ns, type, action, actor, attributes, place)
    ORDER BY e.place"
);

impl TenantView {
    /// For what happens without a change of rows: attach, top, pull. One round trip.
    pub async fn record_event(&self, event: Event) -> Result<()> {
        self.record_events(&[event]).await
    }

    /// In this order.
    pub async fn record_events(&self, events: &[Event]) -> Result<()> {
        // Not tried again: an event that is told twice is worse than one that is lost with its connection.
        put(&self.pool, self.id, events).await.map_err(|e| failure::translate("record events", e))?;
        self.bell.ring();
        Ok(())
    }
}

/// In this order. The caller rings the bell after its commit.
pub(crate) async fn put(db: impl PgExecutor<'_>, tenant: TenantId, events: &[Event]) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    sqlx::query(PUT)
        .bind(tenant.0)
        .bind(events.iter().map(|e| e.at.timestamp_nanos_opt().unwrap_or(0)).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|e| action(&e.action)).collect::<Vec<_>>())
        .bind(events.iter().map(|e| storable(&e.actor)).collect::<Vec<_>>())
        .bind(events.iter().map(|e| json(&e.attributes)).collect::<Vec<_>>())
        .execute(db)
        .await
        .map(|_| ())
}

pub(crate) fn action(text: &str) -> String {
    let mut end = text.len().min(ACTION_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    storable(&text[..end])
}

/// Postgres has no text with NUL.
fn storable(text: &str) -> String {
    text.replace('\0', "")
}

pub(crate) fn json(attributes: &BTreeMap<String, String>) -> String {
    let clean: BTreeMap<String, String> = attributes.iter().map(|(k, v)| (storable(k), storable(v))).collect();
    serde_json::to_string(&clean).unwrap_or_else(|_| "{}".to_owned())
}

impl Container {
    /// An event of it, with the attributes that all of its events have: labels, image and name.
    pub fn event(&self, action: impl Into<String>) -> Event {
        of(self.id.as_str(), action.into(), &self.labels, &self.image_reference, self.name.as_str())
    }
}

impl ContainerSummary {
    /// As [`Container::event`].
    pub fn event(&self, action: impl Into<String>) -> Event {
        of(self.id.as_str(), action.into(), &self.labels, &self.image_reference, self.name.as_str())
    }
}

fn of(id: &str, action: String, labels: &BTreeMap<String, String>, image: &str, name: &str) -> Event {
    Event::new(EventType::Container, action, id).with_labels(labels).with("image", image).with("name", name)
}
