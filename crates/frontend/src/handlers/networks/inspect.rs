//! `GET /networks/{id}`: with the running containers in it.

use axum::extract::State;
use domain::{Error, Kind};

use super::shown::{self, Shown};
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
    Reference(id): Reference,
    params: Params,
) -> Answer {
    params.only(&["verbose", "scope"])?;
    let missing = || Error::not_found(Kind::Network, id.as_str());
    if params.filled("scope").is_some_and(|scope| scope != "local") {
        return Err(missing().into());
    }
    let rows = app.rows(&caller.tenant);
    match rows.network(&id).await {
        Ok(network) => {
            let members = rows.members(&network.id).await?;
            Ok(json::ok(&Shown::of(network).with(members)))
        }
        Err(Error::NotFound { .. }) => {
            let all = shown::all(&rows).await?;
            let found = all.into_iter().find(|n| n.name == id || n.id == id).ok_or_else(missing)?;
            Ok(json::ok(&found))
        }
        Err(error) => Err(error.into()),
    }
}
