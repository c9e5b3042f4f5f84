//! `DELETE /volumes/{name}`: 204. With `force`, a volume that is not there is removed as well; one in use never.

use axum::extract::State;
use domain::Error;
use http::StatusCode;

use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Reference(name): Reference,
    params: Params,
) -> Answer {
    params.only(&["force"])?;
    match app.rows(&caller.tenant).remove_volume(&name).await {
        Err(Error::NotFound { .. }) if params.flag("force") => (),
        removed => drop(removed?),
    }
    Ok(json::empty(StatusCode::NO_CONTENT))
}
