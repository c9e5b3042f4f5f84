//! `POST /build/prune`: the tenant's build cache, or what of it was not used for a while.

use axum::extract::State;
use domain::{Error, Event, EventType};
use serde_json::{Value, json};

use crate::{error::Answer, extract::Caller, handlers::pruning::Pruning, json, query::Params, state::App};

/// `all` says nothing here, since every entry is of the tenant's own steps; to keep some storage is a question of BuildKit's.
const KNOWN: [&str; 6] = ["all", "filters", "keep-storage", "reserved-space", "max-used-space", "min-free-space"];

pub(crate) async fn prune(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    params.only(&KNOWN)?;
    for key in &KNOWN[2..] {
        if params.number(key, 0..=i64::MAX)?.is_some_and(|bytes| bytes > 0) {
            return Err(Error::unsupported(format!("{key} is not supported: prune by the filter until")).into());
        }
    }
    let pruning = Pruning::read(&params, &["until", "unused-for", "label", "label!"])?;
    let until = pruning.until()?;
    let rows = app.rows(&caller.tenant);
    // No step of a build has a label, so none has the wanted one. `docker system prune --filter label=` asks so.
    let (keys, reclaimed_bytes) = match pruning.by_label() {
        true => (Vec::new(), 0),
        false => rows.prune_steps(until).await?,
    };
    rows.record_event(Event::new(EventType::Builder, "prune", "").with("reclaimed", reclaimed_bytes)).await?;
    let deleted: Vec<&str> = keys.iter().map(|key| key.hex()).collect();
    let deleted = if deleted.is_empty() { Value::Null } else { json!(deleted) };
    Ok(json::ok(&json!({ "CachesDeleted": deleted, "SpaceReclaimed": reclaimed_bytes })))
}
