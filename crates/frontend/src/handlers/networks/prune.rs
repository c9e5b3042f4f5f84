//! `POST /networks/prune`: the tenant's own networks without a container.

use axum::extract::State;
use chrono::Utc;
use docker_api::{
    filters::{FilterError, Filters, has_label},
    time::parse_timestamp,
};
use domain::{Error, Event, EventType, Result};
use inventory::Network;
use serde_json::json;

use crate::{error::Answer, extract::Caller, json, query::Params, state::App};

pub(crate) async fn prune(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    params.only(&["filters"])?;
    let filter = Filter::read(&params)?;
    let rows = app.rows(&caller.tenant);
    let mut deleted = Vec::new();
    for network in rows.networks().await? {
        if !filter.wants(&network) {
            continue;
        }
        match rows.remove_network(&network).await {
            Ok(()) => deleted.push(network.name),
            // A container came, or somebody else removed it: nothing to prune.
            Err(Error::Forbidden(_) | Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    rows.record_event(Event::new(EventType::Network, "prune", "").with("reclaimed", 0)).await?;
    let deleted = if deleted.is_empty() { serde_json::Value::Null } else { json!(deleted) };
    Ok(json::ok(&json!({ "NetworksDeleted": deleted })))
}

struct Filter {
    filters: Filters,
    until: Option<chrono::DateTime<Utc>>,
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

    fn wants(&self, network: &Network) -> bool {
        network.name != "bridge"
            && network.endpoints == 0
            && self.until.is_none_or(|until| network.created_at < until)
            && self.filters.labels_match("label", &network.labels)
            && !self.filters.get("label!").iter().any(|wish| has_label(wish, &network.labels))
    }
}
