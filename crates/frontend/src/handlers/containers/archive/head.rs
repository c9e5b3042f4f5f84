//! `HEAD /containers/{id}/archive?path=`: what the path names, in a header.

use axum::{extract::State, response::Response};
use http::{StatusCode, Uri};

use super::{not_there, path, stat_header};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    files::Files,
    json,
    query::Params,
    state::App,
};

pub(crate) async fn head(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
    uri: Uri,
) -> Answer<Response> {
    params.only(&["path"])?;
    let path = path(&uri)?;
    let container = app.rows(&caller.tenant).container(&id).await?;
    let files = Files::of(&app, caller.tenant.id(), &container)?;
    let stat = files.stat(&path).await.map_err(|e| not_there(e, &path, &id))?;
    let mut response = json::empty(StatusCode::OK);
    response.headers_mut().insert(stat_header::NAME, stat_header::value(&path, &stat)?);
    Ok(response)
}
