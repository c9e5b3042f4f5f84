//! `Exec`: the call itself must not end with its client once the process was asked for.

use std::sync::Arc;

use domain::{Error, Result};
use rpc::v1;
use tonic::{Request, Response, Status, Streaming};

use super::{Replies, first, refuse, replies};
use crate::lifecycle::{Engine, ExecStart, Input};

pub(super) async fn exec(
    engine: &Arc<Engine>,
    request: Request<Streaming<v1::ExecInput>>,
) -> Result<Response<Replies>, Status> {
    use v1::exec_input::Input as I;
    let start = |m: v1::ExecInput| if let Some(I::Start(start)) = m.input { Some(start) } else { None };
    let input = |m: v1::ExecInput| match m.input {
        Some(I::Stdin(bytes)) => Some(Input::Bytes(bytes)),
        Some(I::CloseStdin(_)) => Some(Input::Close),
        _ => None,
    };
    let (message, input) = first(request, start, input).await?;
    let start = accept(message).map_err(refuse)?;
    let engine = engine.clone();
    let running = tokio::spawn(async move { engine.exec(start, input).await }).await;
    let outputs = running.unwrap_or_else(|e| Err(Error::because("an exec panicked", e))).map_err(refuse)?;
    Ok(Response::new(replies(outputs)))
}

fn accept(message: v1::ExecStart) -> Result<ExecStart> {
    let (tenant, container) = rpc::tenant_and_container(message.container)?;
    let spec: domain::ExecSpec = rpc::json(&message.spec_json, "spec_json")?;
    let side = |given: u32, own: u16| match u16::try_from(given) {
        Ok(given) if given > 0 => given,
        _ => own,
    };
    let size = (side(message.height, spec.console_height), side(message.width, spec.console_width));
    Ok(ExecStart { tenant, container, id: message.exec_id.parse()?, spec, detach: message.detach, size })
}
