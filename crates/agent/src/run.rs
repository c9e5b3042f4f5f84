//! The role: adopt what runs, serve frontends, report to schedulers, until told to stop. Containers run on.

use std::sync::Arc;

use domain::{Error, Result};
use rpc::{
    Channels,
    v1::{
        agent_server::AgentServer, files_server::FilesServer, layers_server::LayersServer,
        measure_server::MeasureServer, networks_server::NetworksServer,
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    containerd::Containerd,
    evict, facts,
    grpc::{LayerService, Service},
    images::Images,
    lifecycle::Engine,
    neighbours::Schedulers,
    network::Plane,
    report,
};

/// A spec with a large environment; the frontends' channels have the same bound.
const MESSAGE_MAX_BYTES: usize = 16 << 20;

/// Runs an agent inside its host's network namespace.
///
/// # Errors
/// When it cannot begin (a directory, the network, the address); later troubles are logged and tried again.
pub async fn run(config: Config, stop: CancellationToken) -> Result<()> {
    let engine = open(config).await?;
    let channels = Channels::new(engine.config.tls.clone());
    tokio::spawn(engine.clone().follow_events(stop.clone()));
    tokio::select! {
        () = engine.until_adopted() => {}
        () = stop.cancelled() => return Ok(()),
    }
    let facts = facts::of(&engine.config, &engine.network)?;
    let (endpoints, host) = (engine.config.schedulers.clone(), engine.config.host_id);
    engine.network.ask(Arc::new(Schedulers { channels: channels.clone(), endpoints, host }));
    tokio::spawn(engine.network.clone().converge(stop.clone()));
    tokio::spawn(engine.clone().measure_for_ever(stop.clone()));
    tokio::spawn(report::run(engine.clone(), channels, facts, stop.clone()));
    tokio::spawn(evict::run(engine.clone(), stop.clone()));
    let served = serve(&engine, stop).await;
    bootstrap::ready::withdraw(engine.config.ready_file.as_deref());
    served
}

/// Everything but the server: for `run` and for tests.
pub async fn open(config: Config) -> Result<Arc<Engine>> {
    for dir in config.directories() {
        std::fs::create_dir_all(dir).map_err(|e| Error::because(format!("make {}", dir.display()), e))?;
    }
    let containerd = Containerd::new(&config.containerd)?;
    let network = Plane::new(&config, &config.run.join("network")).await?;
    let channels = Channels::new(config.tls.clone());
    let images = Images::new(containerd.clone(), channels, config.frontends.clone());
    Ok(Engine::new(config, containerd, network, images, Arc::default()))
}

async fn serve(engine: &Arc<Engine>, stop: CancellationToken) -> Result<()> {
    let config = &engine.config;
    let measure = MeasureServer::new(Service::new(engine.clone()));
    let service = AgentServer::new(Service::new(engine.clone()))
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    let networks = NetworksServer::new(Service::new(engine.clone())).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .map_err(|e| Error::because(format!("listen on {}", config.listen), e))?;
    bootstrap::ready::announce(config.ready_file.as_deref()).map_err(|e| Error::because("ready file", e))?;
    tracing::info!(listen = %config.listen, host = config.name, "serving");
    let connections = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = rpc::server(&config.tls)?
        .add_service(service)
        .add_service(FilesServer::new(Service::new(engine.clone())))
        .add_service(LayersServer::new(LayerService::new(engine.clone())))
        .add_service(networks)
        .add_service(measure);
    // Streams of clients last as long as containers: a stop does not wait for them.
    tokio::select! {
        served = server.serve_with_incoming(connections) => served.map_err(|e| Error::because("gRPC server", e)),
        () = stop.cancelled() => Ok(()),
    }
}
