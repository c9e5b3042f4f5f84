//! `POST /networks/create`: 201. Hosts hear of it with its first container.

use axum::extract::State;
use docker_api::types::NetworkCreateBody;
use serde::Serialize;

use crate::{
    error::Answer,
    extract::{Caller, Json},
    json,
    query::Params,
    state::App,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    warning: String,
}

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    Json(body): Json<NetworkCreateBody>,
) -> Answer {
    params.only(&[])?;
    let accepted = policy::network_create(body, &app.config.reserved_subnets)?;
    let (pool, pool6) = (app.config.network_pool, app.config.network_pool6);
    let id = app.rows(&caller.tenant).create_network(&accepted.network, pool, pool6).await?;
    Ok(json::created(&Created { id: id.into(), warning: accepted.warnings.join("\n") }))
}
