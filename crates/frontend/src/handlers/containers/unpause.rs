//! `POST /containers/{id}/unpause`: 204; 409 when the container is not paused.

use axum::extract::State;
use domain::Error;
use http::StatusCode;
use rpc::v1;

use super::verb::{DEADLINE, Target, within};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    state::App,
};

pub(crate) async fn unpause(State(app): State<App>, caller: Caller, Reference(id): Reference) -> Answer {
    let target = Target::find(&app, &caller, &id).await?;
    let request = v1::ContainerRequest { container: Some(target.key.clone()) };
    let reply = target.agent.clone().unpause(within(DEADLINE, request)).await?.into_inner();
    match target.store(reply).await?.0 {
        v1::Outcome::Already => Err(Error::conflict(format!("Container {} is not paused", target.container.id)).into()),
        v1::Outcome::Done | v1::Outcome::Unspecified => Ok(json::empty(StatusCode::NO_CONTENT)),
    }
}
