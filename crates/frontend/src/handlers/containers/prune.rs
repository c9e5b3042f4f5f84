//! `POST /containers/prune`: removes the tenant's containers that do not run, by dockerd's filters.
//!
//! One that cannot be removed (it was started meanwhile, its host is silent) is left out of the answer and is no error, as
//! with dockerd.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{ContainerId, Event, EventType, Result};
use futures::StreamExt;
use inventory::ContainerSummary;
use serde::Serialize;

use super::remove;
use crate::{error::Answer, extract::Caller, handlers::pruning::Pruning, json, query::Params, state::App};

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
    pruning: Pruning,
    until: Option<DateTime<Utc>>,
}

impl Filter {
    fn read(params: &Params) -> Result<Self> {
        let pruning = Pruning::read(params, &["label", "label!", "until"])?;
        Ok(Self { until: pruning.until()?, pruning })
    }

    fn wants(&self, c: &ContainerSummary) -> bool {
        c.observation.status.can_remove()
            && self.until.is_none_or(|until| c.created_at <= until)
            && self.pruning.wants(&c.labels)
    }
}
