//! `POST /containers/{id}/restart`: 204.

use axum::extract::State;
use http::StatusCode;

use super::{ports::Ports, stop::Wish, verb::Target};
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
    let ports = Ports::take(&target).await?;
    let request = wish.request(&target, ports.of_host.clone());
    let (restarted, ()) = tokio::join!(async { target.agent.clone().restart(request).await }, ports.announce(&app));
    let stored = match restarted {
        Ok(reply) => target.store(reply.into_inner()).await.map(drop),
        Err(status) => Err(rpc::status::from_status(status)),
    };
    ports.settle(&target).await?;
    stored?;
    Ok(json::empty(StatusCode::NO_CONTENT))
}
