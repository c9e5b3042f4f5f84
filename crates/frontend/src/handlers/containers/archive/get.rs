//! `GET /containers/{id}/archive?path=`: the path as an archive, under its base name.

use axum::{body::Body, extract::State, response::Response};
use futures::TryStreamExt;
use http::{HeaderValue, Uri, header::CONTENT_TYPE};

use super::{not_there, path, stat_header};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    files::Files,
    query::Params,
    state::App,
};

pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
    uri: Uri,
) -> Answer<Response> {
    params.only(&["path"])?;
    let path = path(&uri)?;
    let rows = app.rows(&caller.tenant);
    let container = rows.container(&id).await?;
    let files = Files::of(&app, caller.tenant.id(), &container)?;
    let (stat, archive) = files.get(&path).await.map_err(|e| not_there(e, &path, &id))?;
    rows.record_event(container.event("archive-path")).await?;
    let logged = archive.inspect_err(|e| tracing::warn!(cause = e.operator_text(), "an archive is cut"));
    let mut response = Response::new(Body::from_stream(logged));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    headers.insert(stat_header::NAME, stat_header::value(&path, &stat)?);
    Ok(response)
}
