//! `POST /auth`: `docker login`. The credential is tried at the registry and forgotten.

use axum::{body::Body, extract::State};
use images::RegistryAuth;
use serde_json::json;

use crate::{
    error::Answer,
    extract::{Caller, collect},
    json,
    query::Params,
    state::App,
};

/// Policy I02.
const CREDENTIAL_MAX_BYTES: usize = 32 << 10;

pub(crate) async fn auth(State(app): State<App>, _: Caller, params: Params, body: Body) -> Answer {
    params.only(&[])?;
    let credential = RegistryAuth::from_json(&collect(body, CREDENTIAL_MAX_BYTES).await?)?;
    let status = images::login(&app.registries, &credential).await?;
    Ok(json::ok(&json!({ "IdentityToken": "", "Status": status })))
}
