//! The life of the process: connect, serve, drain.

use std::time::Duration;

use bootstrap::ready;
use domain::{Error, Result};
use inventory::Inventory;
use rpc::v1::scheduler_server::SchedulerServer;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use crate::{Config, grpc::Grpc, place::Placer, reaper, retention, snapshot::Snapshot};

/// A container's row with a big environment, and the complete report of a full host, fit.
const MESSAGE_MAX_BYTES: usize = 16 << 20;

/// Serves until `stop` is cancelled. The schema must be up to date.
///
/// # Errors
/// `Unavailable` when the database is not there, `Internal` when the port or the TLS files are not usable.
pub async fn run(config: Config, stop: CancellationToken) -> Result<()> {
    let inventory = Inventory::connect(&config.database_url, config.database_connections).await?;
    let snapshot = Snapshot::load(&inventory).await?;
    let incoming = TcpIncoming::bind(config.listen)
        .map_err(|cause| Error::because(format!("cannot listen on {}", config.listen), cause))?
        .with_nodelay(Some(true));
    let placer = Placer::new(inventory.clone(), snapshot.clone());
    let service = SchedulerServer::new(Grpc::new(inventory.clone(), placer, stop.clone()))
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    let mut server = rpc::server(&config.tls)?;

    let refresher = tokio::spawn(snapshot.keep_fresh(inventory.clone(), stop.clone()));
    let reaper = tokio::spawn(reaper::run(inventory.clone(), stop.clone()));
    let keep = Duration::from_secs(config.event_retention_s);
    let retention = tokio::spawn(retention::run(inventory, keep, stop.clone()));
    ready::announce(config.ready_file.as_deref()).map_err(|cause| Error::because("announce readiness", cause))?;
    tracing::info!(listen = %config.listen, "the scheduler serves");
    let served =
        server.add_service(service).serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned()).await;
    ready::withdraw(config.ready_file.as_deref());
    stop.cancel();
    let _ = tokio::join!(refresher, reaper, retention);
    served.map_err(|cause| Error::because("serve gRPC", cause))
}
