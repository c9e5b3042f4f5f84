//! `GET /containers/{id}/top?ps_args=`: the process list of a running container.

use axum::extract::State;
use domain::Error;
use rpc::v1;
use serde::Serialize;

use super::verb::{DEADLINE, Target, within};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Top {
    processes: Vec<Vec<String>>,
    titles: Vec<String>,
}

pub(crate) async fn top(State(app): State<App>, caller: Caller, Reference(id): Reference, params: Params) -> Answer {
    params.only(&["ps_args"])?;
    let target = Target::find(&app, &caller, &id).await?;
    if !target.container.observation.status.is_running() {
        return Err(Error::conflict(format!("container {} is not running", target.container.id)).into());
    }
    let ps_args = params.filled("ps_args").unwrap_or("-ef").split_whitespace().map(str::to_owned).collect();
    let request = v1::TopRequest { container: Some(target.key.clone()), ps_args };
    let reply = target.agent.clone().top(within(DEADLINE, request)).await?.into_inner();
    target.rows.record_event(target.container.event("top")).await?;
    let processes = reply.processes.into_iter().map(|p| p.fields).collect();
    Ok(json::ok(&Top { processes, titles: reply.titles }))
}
