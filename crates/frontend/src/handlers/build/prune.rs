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
    let filter = Filter::read(&params)?;
    let rows = app.rows(&caller.tenant);
    let (keys, reclaimed_bytes) = match filter.by_label {
        true => (Vec::new(), 0),
        false => rows.prune_steps(filter.until).await?,
    };
    rows.record_event(Event::new(EventType::Builder, "prune", "").with("reclaimed", reclaimed_bytes)).await?;
    let deleted: Vec<&str> = keys.iter().map(|key| key.hex()).collect();
    let deleted = if deleted.is_empty() { Value::Null } else { json!(deleted) };
    Ok(json::ok(&json!({ "CachesDeleted": deleted, "SpaceReclaimed": reclaimed_bytes })))
}

struct Filter {
    until: Option<DateTime<Utc>>,
    /// No step of a build has a label, so none has the wanted one. `docker system prune --filter label=` asks so.
    by_label: bool,
}

impl Filter {
    /// `until`, its old name, and labels.
    fn read(params: &Params) -> Result<Self> {
        let invalid = |e: FilterError| Error::invalid(e.to_string());
        let filters = Filters::parse(params.get("filters").unwrap_or_default()).map_err(invalid)?;
        filters.check(&["until", "unused-for", "label", "label!"]).map_err(invalid)?;
        let until = match (filters.get("until"), filters.get("unused-for")) {
            ([], []) => None,
            ([text], []) | ([], [text]) => {
                Some(parse_timestamp(text, Utc::now()).map_err(|e| Error::invalid(e.to_string()))?)
            }
            _ => return Err(Error::invalid("more than one until filter specified")),
        };
        Ok(Self { until, by_label: filters.has("label") })
    }
}
