//! `POST /containers/{id}/rename?name=`: 204. The inventory's row first, then the hosts whose DNS answers the name.

use axum::extract::State;
use domain::{ContainerName, Error};
use http::StatusCode;

use super::announce;
use crate::{
    error::{Answer, ApiError},
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn rename(State(app): State<App>, caller: Caller, Reference(id): Reference, params: Params) -> Answer {
    params.only(&["name"])?;
    let rows = app.rows(&caller.tenant);
    let container = rows.container(&id).await?;
    let Some(wanted) = params.filled("name") else {
        return Err(Error::invalid("Neither old nor new names may be empty").into());
    };
    let name: ContainerName = wanted.parse().map_err(allocating)?;
    if name == container.name {
        return Err(Error::invalid("Renaming a container with the same name as its current name").into());
    }
    rows.rename(&container.id, &name).await.map_err(allocating)?;
    announce::renamed(&app, &rows, &container).await;
    Ok(json::empty(StatusCode::NO_CONTENT))
}

/// dockerd says what it was doing when the name would not do.
fn allocating(error: Error) -> ApiError {
    let text = format!("Error when allocating new name: {error}");
    ApiError::from(match error {
        Error::Conflict(_) => Error::Conflict(text),
        Error::Invalid(_) => Error::Invalid(text),
        other => other,
    })
}
