//! `GET /containers/{id}/attach/ws`: attach for browsers. Before API 1.42 all three streams are attached, whatever was asked.

use axum::extract::{Request, State};
use docker_api::version::ApiVersion;

use super::{
    attach::{Attachment, Wish},
    verb::Target,
};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    hijack::Takeover,
    query::Params,
    state::App,
    websocket,
};

const STREAMS_ARE_CHOSEN_SINCE: ApiVersion = ApiVersion::new(1, 42);

pub(crate) async fn attach_ws(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
    mut request: Request,
) -> Answer {
    let mut wish = Wish::of(&params)?;
    if caller.version < STREAMS_ARE_CHOSEN_SINCE {
        (wish.stdin, wish.stdout, wish.stderr) = (caller.tenant.role().can_write(), true, true);
    }
    let target = Target::find(&app, &caller, &id).await?;
    let attachment = Attachment::of(wish, target, &caller)?;
    let headers = request.headers().clone();
    let switching = websocket::handshake(&headers)?;
    let takeover = Takeover::of(&headers, request.extensions_mut())?;
    Ok(takeover.respond_in_frames(switching, attachment.open().await?)?)
}
