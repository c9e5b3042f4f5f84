//! Events of images that no row tells of, in dockerd's words.
//!
//! The deed is done when they are written: an event that cannot be stored is an operator's trouble, and no reason to tell
//! the client that its pull failed.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Digest, Event, EventType, ImageRef};
use inventory::TenantView;

use super::config::Shown;

/// Named by the reference, not by the image; without an id it was the whole repository.
pub(super) async fn pulled(rows: &TenantView, reference: &ImageRef, id: Option<&Digest>) {
    let mut event = Event::new(EventType::Image, "pull", reference.to_string());
    if let Some(id) = id {
        event = event.with_labels(&labels(rows, id.as_str()).await);
    }
    record(rows, vec![event.with("name", reference.familiar_name())]).await;
}

pub(super) async fn imported(rows: &TenantView, id: &Digest, name: Option<String>) {
    let labels = labels(rows, id.as_str()).await;
    let image = |action| Event::new(EventType::Image, action, id.as_str()).with_labels(&labels);
    let tag = name.map(|name| image("tag").with("name", name));
    record(rows, tag.into_iter().chain([image("import").with("name", id)]).collect()).await;
}

/// One event for each image, in their order.
pub(super) async fn of<'a>(rows: &TenantView, action: &str, ids: impl Iterator<Item = &'a Digest>) {
    let (mut seen, mut events) = (BTreeSet::new(), Vec::new());
    for id in ids {
        if seen.insert(id) {
            let labels = labels(rows, id.as_str()).await;
            events.push(Event::new(EventType::Image, action, id.as_str()).with_labels(&labels).with("name", id));
        }
    }
    record(rows, events).await;
}

pub(super) async fn saved(rows: &TenantView, names: &[String]) {
    let mut ids = Vec::new();
    for name in names {
        if let Ok(image) = rows.image(name).await {
            ids.push(image.id);
        }
    }
    of(rows, "save", ids.iter()).await;
}

pub(super) async fn pruned(rows: &TenantView, reclaimed_bytes: impl ToString) {
    record(rows, vec![Event::new(EventType::Image, "prune", "").with("reclaimed", reclaimed_bytes)]).await;
}

async fn labels(rows: &TenantView, id: &str) -> BTreeMap<String, String> {
    match rows.image(id).await.and_then(|image| Shown::of(&image)) {
        Ok(shown) => shown.labels(),
        Err(_) => BTreeMap::new(),
    }
}

async fn record(rows: &TenantView, events: Vec<Event>) {
    if let Err(error) = rows.record_events(&events).await {
        tracing::warn!(cause = error.operator_text(), "events of images are not stored");
    }
}
