//! `DELETE /networks/{id}`: 204; 403 while a container is in it.

use axum::extract::State;
use domain::Error;
use http::StatusCode;

use super::shown;
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn remove(State(app): State<App>, caller: Caller, Reference(id): Reference, params: Params) -> Answer {
    params.only(&[])?;
    let predefined = |name: &str| format!("{name} is a pre-defined network and cannot be removed");
    let rows = app.rows(&caller.tenant);
    let network = shown::find(&rows, &id, predefined).await?;
    if network.name == "bridge" {
        return Err(Error::forbidden(predefined("bridge")).into());
    }
    rows.remove_network(&network).await?;
    Ok(json::empty(StatusCode::NO_CONTENT))
}
