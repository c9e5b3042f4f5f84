//! `POST /volumes/prune`: unused volumes that nobody named; with the filter `all` (and before API 1.42) the named ones too.

use axum::extract::State;
use docker_api::version::ApiVersion;
use domain::{Event, EventType, Result, volume::ANONYMOUS_LABEL};
use inventory::Volume;
use serde_json::{Value, json};

use crate::{error::Answer, extract::Caller, handlers::pruning::Pruning, json as answer, query::Params, state::App};

pub(crate) async fn prune(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    params.only(&["filters"])?;
    let filter = Filter::read(&params, caller.version < ApiVersion::new(1, 42))?;
    let rows = app.rows(&caller.tenant);
    let wanted: Vec<String> = rows.volumes().await?.into_iter().filter(|v| filter.wants(v)).map(|v| v.name).collect();
    let deleted = match wanted.is_empty() {
        true => Vec::new(),
        false => rows.remove_unused_volumes(&wanted).await?,
    };
    // The hosts delete later, and nobody has measured what.
    let reclaimed_bytes = 0;
    rows.record_event(Event::new(EventType::Volume, "prune", "").with("reclaimed", reclaimed_bytes)).await?;
    let deleted = if deleted.is_empty() { Value::Null } else { json!(deleted) };
    Ok(answer::ok(&json!({ "VolumesDeleted": deleted, "SpaceReclaimed": reclaimed_bytes })))
}

struct Filter {
    pruning: Pruning,
    named_too: bool,
}

impl Filter {
    fn read(params: &Params, named_too: bool) -> Result<Self> {
        let pruning = Pruning::read(params, &["all", "label", "label!"])?;
        let named_too = pruning.flag("all")?.unwrap_or(named_too);
        Ok(Self { pruning, named_too })
    }

    fn wants(&self, volume: &Volume) -> bool {
        volume.users.is_empty()
            && (self.named_too || volume.labels.contains_key(ANONYMOUS_LABEL))
            && self.pruning.wants(&volume.labels)
    }
}
