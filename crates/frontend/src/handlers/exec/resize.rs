//! `POST /exec/{id}/resize?h=&w=`: 200 without a body.

use axum::extract::State;
use http::StatusCode;
use rpc::v1;

use super::parse_id;
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    handlers::containers::{
        resize::size,
        verb::{DEADLINE, Target, within},
    },
    json,
    query::Params,
    state::App,
};

pub(crate) async fn resize(
    State(app): State<App>,
    caller: Caller,
    Reference(reference): Reference,
    params: Params,
) -> Answer {
    let (height, width) = size(&params)?;
    let record = app.rows(&caller.tenant).exec(&parse_id(&reference)?).await?;
    let mut target = Target::find(&app, &caller, record.container.as_str()).await?;
    let request = v1::ResizeExecRequest { container: Some(target.key), exec_id: record.id.to_string(), height, width };
    target.agent.resize_exec(within(DEADLINE, request)).await?;
    Ok(json::empty(StatusCode::OK))
}
