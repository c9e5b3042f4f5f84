//! `POST /images/{name}/tag`: 201.

use axum::extract::State;
use domain::{Error, ImageRef, Result};
use http::StatusCode;

use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn tag(State(app): State<App>, caller: Caller, Reference(name): Reference, params: Params) -> Answer {
    params.only(&["repo", "tag", "force"])?;
    let wanted = wanted(&params)?;
    let rows = app.rows(&caller.tenant);
    let image = rows.image(&name).await?;
    rows.tag(&image.id, &wanted.familiar_name(), wanted.tag().unwrap_or("latest")).await?;
    Ok(json::empty(StatusCode::CREATED))
}

/// `repo` may hold a tag, `tag` wins.
fn wanted(params: &Params) -> Result<ImageRef> {
    let repository: ImageRef = params.get("repo").unwrap_or_default().parse()?;
    if repository.digest().is_some() {
        return Err(Error::invalid("refusing to create a tag with a digest reference"));
    }
    match params.filled("tag") {
        Some(tag) => repository.with_tag(tag),
        None => Ok(repository.with_default_tag()),
    }
}
