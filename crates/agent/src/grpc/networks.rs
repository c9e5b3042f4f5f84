//! `Networks`: plugging, and what other hosts' containers are called and where they are.

use domain::NetworkId;
use rpc::v1;
use tonic::{Request, Response, Status, async_trait};

use super::{Service, admit};
use crate::neighbours::listing;

#[async_trait]
impl v1::networks_server::Networks for Service {
    async fn plug(&self, request: Request<v1::ConnectRequest>) -> Result<Response<v1::Empty>, Status> {
        self.verb(request, |engine, message: v1::ConnectRequest| async move {
            let (tenant, id) = rpc::tenant_and_container(message.container)?;
            let endpoint = rpc::json(&message.endpoint_json, "endpoint_json")?;
            engine.plug(tenant, &id, endpoint).await.map(|()| v1::Empty {})
        })
        .await
    }

    async fn unplug(&self, request: Request<v1::DisconnectRequest>) -> Result<Response<v1::Empty>, Status> {
        self.verb(request, |engine, message: v1::DisconnectRequest| async move {
            let (tenant, id) = rpc::tenant_and_container(message.container)?;
            let network: NetworkId = message.network_id.parse()?;
            engine.unplug(tenant, &id, &network, &message.endpoint_id).await.map(|()| v1::Empty {})
        })
        .await
    }

    async fn catch_up(&self, request: Request<v1::CatchUpRequest>) -> Result<Response<v1::Empty>, Status> {
        admit(&request)?;
        self.engine.network.catch_up(request.into_inner().vnis).await;
        Ok(Response::new(v1::Empty {}))
    }

    async fn announce(&self, request: Request<v1::AnnounceRequest>) -> Result<Response<v1::Empty>, Status> {
        admit(&request)?;
        for network in request.into_inner().networks {
            let told = async {
                let network = listing(network, self.engine.config.host_id)?;
                self.engine.network.announce(network.vni, &network.name, network.peers).await
            };
            told.await.map_err(super::refuse)?;
        }
        Ok(Response::new(v1::Empty {}))
    }
}
