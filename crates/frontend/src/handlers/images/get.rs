//! `GET /images/get` and `GET /images/{name}/get`: `docker save`.

use axum::{body::Body, extract::State, response::Response};
use domain::Error;
use futures::TryStreamExt;
use http::{HeaderValue, header::CONTENT_TYPE};

use super::{platform, told};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    query::Params,
    state::App,
};

const NAMES_MAX: usize = 1000;

pub(crate) async fn get_one(
    State(app): State<App>,
    caller: Caller,
    Reference(name): Reference,
    params: Params,
) -> Answer {
    params.only(&["platform"])?;
    save(&app, &caller, &[name], &params).await
}

pub(crate) async fn get_many(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    params.only(&["names", "platform"])?;
    // Clients write `names=a&names=b`, older ones `names=a,b`.
    let names: Vec<String> =
        params.all("names").flat_map(|v| v.split(',')).filter(|n| !n.is_empty()).map(str::to_owned).collect();
    if names.is_empty() || names.len() > NAMES_MAX {
        return Err(Error::invalid(format!("names: between 1 and {NAMES_MAX} images can be saved at once")).into());
    }
    save(&app, &caller, &names, &params).await
}

async fn save(app: &App, caller: &Caller, names: &[String], params: &Params) -> Answer {
    let platform = platform::wanted(params)?;
    let rows = app.rows(&caller.tenant);
    let archive = app.images.save(&rows, names, platform.as_ref()).await?;
    told::saved(&rows, names).await;
    let logged = archive.inspect_err(|e| tracing::warn!(cause = e.operator_text(), "saving images failed"));
    let mut response = Response::new(Body::from_stream(logged));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    Ok(response)
}
