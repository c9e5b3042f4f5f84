//! `POST /networks/{id}/connect`: the row first, then the container's host, then the hosts that share the network.

use axum::extract::State;
use docker_api::types::NetworkConnectRequest;
use domain::{Error, Result};
use http::StatusCode;
use inventory::{Container, Network};
use rpc::v1;

use super::shown;
use crate::{
    error::Answer,
    extract::{Caller, Json, Reference},
    handlers::containers::{
        announce,
        verb::{DEADLINE, Target, within},
    },
    json,
    query::Params,
    state::App,
};

pub(crate) async fn connect(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
    Json(body): Json<NetworkConnectRequest>,
) -> Answer {
    params.only(&[])?;
    let NetworkConnectRequest { container, endpoint_config } = body;
    let rows = app.rows(&caller.tenant);
    let network = shown::find(&rows, &id, |name| match name {
        "host" => "cannot connect container to host network - container must be created in host network".to_owned(),
        _ => "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            .to_owned(),
    });
    let network = network.await?;
    let target = Target::find(&app, &caller, &container).await?;
    check(&target.container, &network)?;
    let wish = policy::connect(&network.name, endpoint_config.unwrap_or_default())?;
    let endpoint = target.rows.connect(&target.container.id, &network, &wish).await?;
    let request =
        v1::ConnectRequest { container: Some(target.key.clone()), endpoint_json: rpc::to_json(&endpoint).into() };
    let networks = app.channels.networks(target.container.host, &target.container.host_endpoint)?;
    if let Err(status) = networks.clone().plug(within(DEADLINE, request)).await {
        // The host has not plugged it in: nor has the inventory, then.
        target.rows.disconnect(&target.container.id, &network).await?;
        return Err(status.into());
    }
    if target.container.observation.status.is_running() {
        announce::announce(&app, &target, std::slice::from_ref(&endpoint)).await;
    }
    Ok(json::empty(StatusCode::OK))
}

fn check(container: &Container, network: &Network) -> Result<()> {
    if container.network_mode == "none" {
        return Err(Error::forbidden(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        ));
    }
    match container.endpoints.iter().any(|e| e.network == network.id) {
        true => Err(Error::forbidden(format!(
            "endpoint with name {} already exists in network {}",
            container.name, network.name
        ))),
        false => Ok(()),
    }
}
