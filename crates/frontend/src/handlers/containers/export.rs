//! `GET /containers/{id}/export`: the root file system as one flat archive, in whatever state the container is.

use axum::{body::Body, extract::State, response::Response};
use futures::TryStreamExt;
use http::{HeaderValue, header::CONTENT_TYPE};

use crate::{
    error::Answer,
    extract::{Caller, Reference},
    files::Files,
    query::Params,
    state::App,
};

pub(crate) async fn export(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
) -> Answer<Response> {
    params.only(&[])?;
    let rows = app.rows(&caller.tenant);
    let container = rows.container(&id).await?;
    let archive = Files::of(&app, caller.tenant.id(), &container)?.export().await?;
    rows.record_event(container.event("export")).await?;
    let logged = archive.inspect_err(|e| tracing::warn!(cause = e.operator_text(), "an export is cut"));
    let mut response = Response::new(Body::from_stream(logged));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}
