//! `GET /distribution/{name}/json`: a registry's manifest or index, and its platforms.

use axum::extract::State;
use domain::ImageRef;
use http::HeaderMap;
use serde_json::json;

use crate::{
    error::Answer,
    extract::{Caller, Reference},
    handlers::images::credential::credential,
    json,
    query::Params,
    state::App,
};

pub(crate) async fn inspect(
    State(app): State<App>,
    _caller: Caller,
    Reference(name): Reference,
    params: Params,
    headers: HeaderMap,
) -> Answer {
    params.only(&[])?;
    let reference: ImageRef = name.parse()?;
    let auth = credential(&headers)?;
    let found = app.images.distribution(&reference, auth.as_ref()).await?;
    Ok(json::ok(&json!({
        "Descriptor": { "mediaType": found.media_type, "digest": found.digest, "size": found.size_bytes },
        "Platforms": found.platforms,
    })))
}
