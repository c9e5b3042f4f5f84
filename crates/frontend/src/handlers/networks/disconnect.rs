//! `POST /networks/{id}/disconnect`: the container's host first, then the row: an address is free only once nobody has it.

use axum::extract::State;
use docker_api::types::NetworkDisconnectRequest;
use domain::Error;
use http::StatusCode;
use rpc::v1;

use super::shown;
use crate::{
    error::Answer,
    extract::{Caller, Json, Reference},
    handlers::containers::verb::{DEADLINE, Target, within},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn disconnect(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
    Json(body): Json<NetworkDisconnectRequest>,
) -> Answer {
    params.only(&[])?;
    let NetworkDisconnectRequest { container, force: _ } = body;
    let rows = app.rows(&caller.tenant);
    let network = shown::find(&rows, &id, |name| match name {
        "host" => {
            "cannot disconnect container from host network - container must be created in host network".to_owned()
        }
        _ => format!("container {container} is not connected to network {name}"),
    });
    let network = network.await?;
    let target = Target::find(&app, &caller, &container).await?;
    let id = &target.container.id;
    if !target.container.endpoints.iter().any(|e| e.network == network.id) {
        return Err(Error::forbidden(format!("container {id} is not connected to network {}", network.name)).into());
    }
    let request = v1::DisconnectRequest {
        container: Some(target.key.clone()),
        network_id: network.id.to_string(),
        ..Default::default()
    };
    let networks = app.channels.networks(target.container.host, &target.container.host_endpoint)?;
    networks.clone().unplug(within(DEADLINE, request)).await?;
    target.rows.disconnect(id, &network).await?;
    Ok(json::empty(StatusCode::OK))
}
