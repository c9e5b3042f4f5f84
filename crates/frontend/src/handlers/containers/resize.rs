//! `POST /containers/{id}/resize?h=&w=`: 200 without a body.

use axum::extract::State;
use domain::{Error, Result};
use http::StatusCode;
use rpc::v1;

use super::verb::{DEADLINE, Target, within};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn resize(State(app): State<App>, caller: Caller, Reference(id): Reference, params: Params) -> Answer {
    let (height, width) = size(&params)?;
    let target = Target::find(&app, &caller, &id).await?;
    if !target.container.observation.status.is_running() {
        return Err(Error::conflict(format!("container {} is not running", target.container.id)).into());
    }
    let request = v1::ResizeRequest { container: Some(target.key.clone()), height, width };
    target.agent.clone().resize(within(DEADLINE, request)).await?;
    let event = target.container.event("resize").with("height", height).with("width", width);
    target.rows.record_event(event).await?;
    Ok(json::empty(StatusCode::OK))
}

/// Rows and columns of the query; also of `exec resize`.
pub(crate) fn size(params: &Params) -> Result<(u32, u32)> {
    params.only(&["h", "w"])?;
    Ok((number(params, "h", "height")?, number(params, "w", "width")?))
}

fn number(params: &Params, key: &str, what: &str) -> Result<u32> {
    let text = params.get(key).unwrap_or_default();
    // The kernel's window size has 16 bits.
    match text.parse::<u16>() {
        Ok(number) => Ok(u32::from(number)),
        Err(_) => Err(Error::invalid(format!("invalid resize {what} {text:?}: invalid syntax"))),
    }
}
