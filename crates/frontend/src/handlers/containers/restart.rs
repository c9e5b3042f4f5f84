//! `POST /containers/{id}/restart`: 204.

use axum::extract::State;
use http::StatusCode;

use super::{stop::Wish, verb::Target};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn restart(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
) -> Answer {
    let wish = Wish::of(&params)?;
    let target = Target::find(&app, &caller, &id).await?;
    let reply = target.agent.clone().restart(wish.request(&target)).await?.into_inner();
    target.store(reply).await?;
    Ok(json::empty(StatusCode::NO_CONTENT))
}
