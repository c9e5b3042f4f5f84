//! `PUT /containers/{id}/archive?path=`: unpacks the body, plain or compressed, into a directory.

use axum::{body::Body, extract::State, response::Response};
use domain::Error;
use futures::{StreamExt, TryStreamExt};
use http::{StatusCode, Uri};

use super::{not_there, path};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    files::{Files, PutOptions},
    handlers::images::upload,
    json,
    query::Params,
    state::App,
};

fn cut(_: std::io::Error) -> Error {
    Error::invalid("unexpected EOF")
}

pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
    uri: Uri,
    body: Body,
) -> Answer<Response> {
    // First of all: a client that still writes would not see a refusal.
    let body = upload::chunks(body);
    params.only(&["path", "noOverwriteDirNonDir", "copyUIDGID"])?;
    let path = path(&uri)?;
    let rows = app.rows(&caller.tenant);
    let container = rows.container(&id).await?;
    let files = Files::of(&app, caller.tenant.id(), &container)?;
    let options = PutOptions {
        no_overwrite_dir_non_dir: params.flag("noOverwriteDirNonDir"),
        container_owner: params.flag("copyUIDGID"),
    };
    let archive = images::unpacked(body.map_err(cut).boxed()).await?;
    files.put(&path, options, archive).await.map_err(|e| not_there(e, &path, &id))?;
    rows.record_event(container.event("extract-to-dir")).await?;
    Ok(json::empty(StatusCode::OK))
}
