//! `POST /containers/prune`: removes the tenant's containers that do not run, by dockerd's filters.
//!
//! One that cannot be removed (it was started meanwhile, its host is silent) is left out of the answer and is no error, as
//! with dockerd.

use axum::extract::State;
use chrono::{DateTime, Utc};
use docker_api::{
    filters::{FilterError, Filters, has_label},
    time::parse_timestamp,
};
use domain::{ContainerId, Error, Event, EventType, Result};
use futures::StreamExt;
use inventory::ContainerSummary;
use serde::Serialize;

use super::remove;
use crate::{error::Answer, extract::Caller, json, query::Params, state::App};

/// Removals under way at the same time.
const AT_ONCE: usize = 8;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pruned {
    containers_deleted: Option<Vec<ContainerId>>,
    space_reclaimed: i64,
}

pub(crate) async fn prune(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    params.only(&["filters"])?;
    let filter = Filter::read(&params)?;
    let rows = app.rows(&caller.tenant);
    let all = rows.containers().await?;
    let chosen: Vec<Chosen> = all.into_iter().filter(|c| filter.wants(c)).map(Chosen::of).collect();
    let removals = chosen.into_iter().map(|chosen| chosen.remove(app.clone(), caller.clone()));
    let removed: Vec<Option<Chosen>> = futures::stream::iter(removals).buffered(AT_ONCE).collect().await;
    let removed = removed.into_iter().flatten().map(|c| (c.id, c.size_rw_bytes));
    let (ids, sizes): (Vec<ContainerId>, Vec<i64>) = removed.unzip();
    let space_reclaimed = sizes.iter().sum::<i64>();
    let event = Event::new(EventType::Container, "prune", "").with("reclaimed", space_reclaimed.to_string());
    rows.record_event(event).await?;
    Ok(json::ok(&Pruned { containers_deleted: Some(ids).filter(|ids| !ids.is_empty()), space_reclaimed }))
}

struct Chosen {
    id: ContainerId,
    size_rw_bytes: i64,
}

impl Chosen {
    fn of(c: ContainerSummary) -> Self {
        Self { size_rw_bytes: c.observation.size_rw_bytes.unwrap_or(0), id: c.id }
    }

    async fn remove(self, app: App, caller: Caller) -> Option<Self> {
        match remove::one(&app, &caller, self.id.as_str(), false, false).await {
            Ok(()) => Some(self),
            Err(error) => {
                tracing::info!(container.id = %self.id, cause = error.operator_text(), "not pruned");
                None
            }
        }
    }
}

struct Filter {
    filters: Filters,
    until: Option<DateTime<Utc>>,
}

impl Filter {
    fn read(params: &Params) -> Result<Self> {
        let invalid = |e: FilterError| Error::invalid(e.to_string());
        let filters = Filters::parse(params.get("filters").unwrap_or_default()).map_err(invalid)?;
        filters.check(&["label", "label!", "until"]).map_err(invalid)?;
        let until = match filters.get("until") {
            [] => None,
            [text] => Some(parse_timestamp(text, Utc::now()).map_err(|e| Error::invalid(e.to_string()))?),
            _ => return Err(Error::invalid("more than one until filter specified")),
        };
        Ok(Self { filters, until })
    }

    fn wants(&self, c: &ContainerSummary) -> bool {
        c.observation.status.can_remove()
            && self.until.is_none_or(|until| c.created_at <= until)
            && self.filters.labels_match("label", &c.labels)
            && !self.filters.get("label!").iter().any(|wish| has_label(wish, &c.labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(filters: &str) -> Result<Filter> {
        let uri = format!("/prune?filters={}", filters.replace('"', "%22").replace(['{', '}'], ""));
        let uri = uri.replace("filters=", "filters=%7B") + "%7D";
        Filter::read(&Params::of(&uri.parse().expect("uri")).expect("query"))
    }

    #[test]
    fn a_filter_that_is_not_understood_never_deletes_more() {
        assert!(read(r#""until":["1h"],"label":["a=b"],"label!":["keep"]"#).is_ok());
        assert!(read(r#""status":["exited"]"#).is_err());
        assert!(read(r#""until":["1h","2h"]"#).is_err() && read(r#""until":["soon"]"#).is_err());
    }
}
