//! `POST /build/prune`: the tenant's build cache, or what of it was not used for a while.

use axum::extract::State;
use chrono::{DateTime, Utc};
use docker_api::{
    filters::{FilterError, Filters},
    time::parse_timestamp,
};
use domain::{Error, Event, EventType, Result};
use serde_json::{Value, json};

use crate::{error::Answer, extract::Caller, json, query::Params, state::App};

/// `all` says nothing here, since every entry is of the tenant's own steps; to keep some storage is a question of BuildKit's.
const KNOWN: [&str; 6] = ["all", "filters", "keep-storage", "reserved-space", "max-used-space", "min-free-space"];

pub(crate) async fn prune(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    params.only(&KNOWN)?;
    for key in &KNOWN[2..] {
        if params.number(key, 0..=i64::MAX)?.is_some_and(|bytes| bytes > 0) {
            return Err(Error::unsupported(format!("{key} is not supported: prune by the filter until")).into());
        }
    }
    let until = until(&params)?;
    let rows = app.rows(&caller.tenant);
    let (keys, reclaimed_bytes) = rows.prune_steps(until).await?;
    rows.record_event(Event::new(EventType::Builder, "prune", "").with("reclaimed", reclaimed_bytes)).await?;
    let deleted: Vec<&str> = keys.iter().map(|key| key.hex()).collect();
    let deleted = if deleted.is_empty() { Value::Null } else { json!(deleted) };
    Ok(json::ok(&json!({ "CachesDeleted": deleted, "SpaceReclaimed": reclaimed_bytes })))
}

/// `until` and its old name.
fn until(params: &Params) -> Result<Option<DateTime<Utc>>> {
    let invalid = |e: FilterError| Error::invalid(e.to_string());
    let filters = Filters::parse(params.get("filters").unwrap_or_default()).map_err(invalid)?;
    filters.check(&["until", "unused-for"]).map_err(invalid)?;
    match (filters.get("until"), filters.get("unused-for")) {
        ([], []) => Ok(None),
        ([text], []) | ([], [text]) => {
            let at = parse_timestamp(text, Utc::now()).map_err(|e| Error::invalid(e.to_string()))?;
            Ok(Some(at))
        }
        _ => Err(Error::invalid("more than one until filter specified")),
    }
}
