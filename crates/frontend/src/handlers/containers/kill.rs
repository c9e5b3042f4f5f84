//! `POST /containers/{id}/kill`: 204. dockerd prefixes each of its errors with what it was doing.

use axum::extract::State;
use domain::{Error, Kind, Result, Signal};
use http::StatusCode;
use rpc::v1;

use super::verb::{DEADLINE, Target, within};
use crate::{
    error::{Answer, ApiError},
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn kill(State(app): State<App>, caller: Caller, Reference(id): Reference, params: Params) -> Answer {
    params.only(&["signal"])?;
    match send(&app, &caller, &id, params.filled("signal")).await {
        Ok(()) => Ok(json::empty(StatusCode::NO_CONTENT)),
        Err(error) => Err(ApiError::from(prefixed(&id, error))),
    }
}

async fn send(app: &App, caller: &Caller, id: &str, signal: Option<&str>) -> Result<()> {
    let signal = signal.map_or(Ok(Signal::KILL), str::parse)?;
    let target = Target::find(app, caller, id).await?;
    let request = v1::KillRequest { container: Some(target.key.clone()), signal: signal.0 };
    let reply = target.agent.clone().kill(within(DEADLINE, request)).await.map_err(rpc::status::from_status)?;
    let (outcome, _) = target.store(reply.into_inner()).await?;
    match outcome {
        v1::Outcome::Already => Err(Error::conflict(format!("container {} is not running", target.container.id))),
        v1::Outcome::Done | v1::Outcome::Unspecified => Ok(()),
    }
}

/// Keeps the status, prefixes the words.
fn prefixed(id: &str, error: Error) -> Error {
    let text = format!("cannot kill container: {id}: {error}");
    match error {
        Error::Invalid(_) => Error::Invalid(text),
        Error::Conflict(_) => Error::Conflict(text),
        Error::Forbidden(_) => Error::Forbidden(text),
        Error::NotFound { kind: Kind::Container, .. } => Error::Missing(text),
        other => other,
    }
}
