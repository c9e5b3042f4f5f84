//! `POST /networks/prune`: the tenant's own networks without a container.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{Error, Event, EventType, Result};
use inventory::Network;
use serde_json::json;

use crate::{error::Answer, extract::Caller, handlers::pruning::Pruning, json, query::Params, state::App};

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
    pruning: Pruning,
    until: Option<DateTime<Utc>>,
}

impl Filter {
    fn read(params: &Params) -> Result<Self> {
        let pruning = Pruning::read(params, &["label", "label!", "until"])?;
        Ok(Self { until: pruning.until()?, pruning })
    }

    fn wants(&self, network: &Network) -> bool {
        network.name != "bridge"
            && network.endpoints == 0
            && self.until.is_none_or(|until| network.created_at < until)
            && self.pruning.wants(&network.labels)
    }
}
