//! `POST /networks/{id}/connect`: the row first, then the container's host, then the hosts that share the network.
//!
//! A host that does not answer may have plugged the container in all the same: the row, and with it the address, is taken
//! back only once the host says that it has not, or has not any more.

use std::time::Duration;

use axum::extract::State;
use docker_api::types::NetworkConnectRequest;
use domain::{Endpoint, Error, Result};
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

/// How long a host may take for it.
const TAKE_BACK: Duration = Duration::from_secs(2);
/// The longest time between two tries.
const TAKE_BACK_PAUSE: Duration = Duration::from_secs(5);

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
        let half = Half { target, networks, network, endpoint };
        if !half.take_back().await {
            tokio::spawn(half.take_back_later());
        }
        return Err(status.into());
    }
    if target.container.observation.status.is_running() {
        announce::announce(&app, &target, std::slice::from_ref(&endpoint)).await;
    }
    Ok(json::empty(StatusCode::OK))
}

/// A connection that did not come to its end.
struct Half {
    target: Target,
    networks: rpc::Networks,
    network: Network,
    endpoint: Endpoint,
}

impl Half {
    /// True if nothing of it is left.
    async fn take_back(&self) -> bool {
        let request = v1::DisconnectRequest {
            container: Some(self.target.key.clone()),
            network_id: self.network.id.to_string(),
            endpoint_id: self.endpoint.endpoint_id.clone(),
        };
        match self.networks.clone().unplug(within(TAKE_BACK, request)).await {
            Err(status) if status.code() != tonic::Code::NotFound => return false,
            _ => {}
        }
        self.target.rows.disconnect(&self.target.container.id, &self.network).await.is_ok()
    }

    /// Until the host answers, or the tenant has taken it back itself. Should this frontend end before, the tenant can do so.
    async fn take_back_later(self) {
        let mut pause = Duration::from_secs(1);
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(TAKE_BACK_PAUSE);
            match self.target.rows.container(self.target.container.id.as_str()).await {
                Ok(now) if now.endpoints.iter().any(|e| e.endpoint_id == self.endpoint.endpoint_id) => {}
                Ok(_) | Err(Error::NotFound { .. }) => return,
                Err(_) => continue,
            }
            if self.take_back().await {
                return tracing::info!(container.id = %self.target.container.id, "took half a connection back");
            }
        }
    }
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
