//! `POST /containers/{id}/exec`: 201 with an id. Only a row is made; `start` runs it.

use axum::extract::State;
use docker_api::types::ExecConfig;
use domain::ExecId;
use serde::Serialize;

use super::check_status;
use crate::{
    error::Answer,
    extract::{Caller, Json, Reference},
    json,
    state::App,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created<'a> {
    id: &'a ExecId,
}

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Reference(reference): Reference,
    Json(body): Json<ExecConfig>,
) -> Answer {
    let rows = app.rows(&caller.tenant);
    let container = rows.container(&reference).await?;
    let spec = policy::exec(body, &container.spec)?;
    check_status(&container, &reference)?;
    let id = ExecId::random();
    rows.add_exec(&container.id, &id, &spec).await?;
    Ok(json::created(&Created { id: &id }))
}
