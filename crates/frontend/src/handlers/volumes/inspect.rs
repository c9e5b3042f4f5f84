//! `GET /volumes/{name}`.

use axum::extract::State;

use super::shown::Shown;
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn inspect(
    State(app): State<App>,
    caller: Caller,
    Reference(name): Reference,
    params: Params,
) -> Answer {
    params.only(&[])?;
    Ok(json::ok(&Shown::of(&app.rows(&caller.tenant).volume(&name).await?)))
}
