//! `GET /networks`: the tenant's, from one query; filters work on its result.

use axum::extract::State;
use docker_api::filters::{FilterError, Filters, has_label};
use domain::{Error, Result};

use super::shown::{self, Shown};
use crate::{error::Answer, extract::Caller, json, query::Params, state::App};

pub(crate) async fn list(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    params.only(&["filters"])?;
    let invalid = |e: FilterError| Error::invalid(e.to_string());
    let filters = Filters::parse(params.get("filters").unwrap_or_default()).map_err(invalid)?;
    filters.check(&["dangling", "driver", "id", "label", "name", "scope", "type"]).map_err(invalid)?;
    let dangling = filters.flag("dangling").map_err(invalid)?;
    let kind = kind(&filters)?;
    let wanted = |n: &Shown| {
        let any = |key: &str, hit: &dyn Fn(&str) -> bool| {
            filters.get(key).is_empty() || filters.get(key).iter().any(|wish| hit(wish))
        };
        any("driver", &|w| n.driver == w)
            && any("id", &|w| n.id.contains(w))
            && any("name", &|w| n.name.contains(w))
            && any("scope", &|w| n.scope == w)
            && filters.get("label").iter().all(|w| has_label(w, &n.labels))
            && kind.is_none_or(|custom| custom != n.predefined)
            && dangling.is_none_or(|yes| yes == (!n.predefined && n.endpoints == 0))
    };
    let mut all = shown::all(&app.rows(&caller.tenant)).await?;
    all.retain(wanted);
    Ok(json::ok(&all))
}

/// `type=custom` is true, `type=builtin` false; both are everything.
fn kind(filters: &Filters) -> Result<Option<bool>> {
    let (mut custom, mut builtin) = (false, false);
    for wish in filters.get("type") {
        match wish.as_str() {
            "custom" => custom = true,
            "builtin" => builtin = true,
            other => return Err(Error::invalid(format!("invalid filter: 'type'='{}'", other.escape_debug()))),
        }
    }
    Ok((custom != builtin).then_some(custom))
}
