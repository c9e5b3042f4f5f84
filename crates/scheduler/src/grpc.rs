//! The gRPC service: who may call what, and the conversion at the edge.

use domain::{Error, HostId, NewContainer, Result};
use inventory::{AddressVersion, Inventory, NetworkState, NetworkVersion};
use rpc::{Peer, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::{
    place::{Placed, Placer},
    report::Reporting,
};

/// Acknowledgements under way; an agent sends one batch at a time.
const ACKS: usize = 4;

pub(crate) struct Grpc {
    inventory: Inventory,
    placer: Placer,
    stop: CancellationToken,
}

impl Grpc {
    pub(crate) fn new(inventory: Inventory, placer: Placer, stop: CancellationToken) -> Self {
        Self { inventory, placer, stop }
    }
}

#[async_trait]
impl v1::scheduler_server::Scheduler for Grpc {
    /// Frontends only.
    async fn place(&self, request: Request<v1::PlaceRequest>) -> Result<Response<v1::PlaceReply>, Status> {
        only_frontends(&request).map_err(rpc::status::to_status)?;
        let request_id = rpc::request_id::of(&request);
        let message = request.into_inner();
        let new: NewContainer = rpc::json(&message.container_json, "container_json").map_err(rpc::status::to_status)?;
        let placed = self.placer.place(&new, &request_id).await.map_err(rpc::status::to_status)?;
        Ok(Response::new(reply(placed)))
    }

    /// Agents only, each for its own host.
    async fn newer(&self, request: Request<v1::NewerRequest>) -> Result<Response<v1::NewerReply>, Status> {
        let host = calling_host(&request).map_err(rpc::status::to_status)?;
        let known = request.into_inner().known.into_iter();
        let known: Vec<_> = known.map(|k| NetworkVersion { vni: k.vni, generation: k.generation }).collect();
        let newer = self.inventory.newer_networks(host, &known).await.map_err(rpc::status::to_status)?;
        Ok(Response::new(v1::NewerReply { networks: newer.into_iter().map(peers).collect() }))
    }

    /// Edges only.
    async fn newer_ports(
        &self,
        request: Request<v1::NewerPortsRequest>,
    ) -> Result<Response<v1::NewerPortsReply>, Status> {
        only_edges(&request).map_err(rpc::status::to_status)?;
        let v1::NewerPortsRequest { endpoint, known } = request.into_inner();
        let known: Vec<_> =
            known.into_iter().map(|k| AddressVersion { address: k.address, generation: k.generation }).collect();
        let newer = self.inventory.newer_ports(&endpoint, &known).await.map_err(rpc::status::to_status)?;
        let (addresses, gone) = newer;
        Ok(Response::new(v1::NewerPortsReply { addresses: addresses.into_iter().map(Into::into).collect(), gone }))
    }

    type ReportStream = ReceiverStream<Result<v1::ReportAck, Status>>;

    /// Agents only, each for its own host.
    async fn report(
        &self,
        request: Request<Streaming<v1::ReportBatch>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let host = calling_host(&request).map_err(rpc::status::to_status)?;
        let (acks, receiver) = mpsc::channel(ACKS);
        let reporting = Reporting::new(self.inventory.clone(), host, self.stop.clone());
        tokio::spawn(reporting.run(request.into_inner(), acks));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

fn reply(placed: Placed) -> v1::PlaceReply {
    v1::PlaceReply {
        host_id: placed.reserved.host.id.to_string(),
        host_endpoint: placed.reserved.host.facts.endpoint,
        endpoints_json: rpc::to_json(&placed.reserved.endpoints).into(),
        warnings: placed.warnings,
        uid_base: placed.reserved.uid_base,
        volumes_json: rpc::to_json(&placed.reserved.volumes).into(),
    }
}

fn peers(state: NetworkState) -> v1::NetworkPeers {
    let peers = state.peers.into_iter().map(|peer| v1::Peer {
        container_id: peer.container.to_string(),
        host_id: peer.host.to_string(),
        address: peer.address.to_string(),
        address6: peer.ipv6.map(|a| a.to_string()).unwrap_or_default(),
        mac: peer.mac,
        vtep: peer.vtep.to_string(),
        names: peer.names,
        running: peer.running,
    });
    v1::NetworkPeers { vni: state.vni, name: state.name, generation: state.generation, peers: peers.collect() }
}

fn only_frontends<T>(request: &Request<T>) -> Result<()> {
    match Peer::of(request)? {
        Peer::Frontend => Ok(()),
        Peer::Scheduler | Peer::Edge | Peer::Agent(_) => Err(Error::forbidden("only frontends place containers")),
    }
}

fn calling_host<T>(request: &Request<T>) -> Result<HostId> {
    match Peer::of(request)? {
        Peer::Agent(host) => Ok(host),
        Peer::Frontend | Peer::Scheduler | Peer::Edge => Err(Error::forbidden("only agents report")),
    }
}

fn only_edges<T>(request: &Request<T>) -> Result<()> {
    match Peer::of(request)? {
        Peer::Edge => Ok(()),
        Peer::Frontend | Peer::Scheduler | Peer::Agent(_) => Err(Error::forbidden("only edges serve published ports")),
    }
}
