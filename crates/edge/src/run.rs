//! The life of the process: learn, serve, drain.

use std::{sync::Arc, time::Duration};

use bootstrap::ready;
use domain::{Error, Result};
use rpc::{Channels, v1::edge_server::EdgeServer};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use crate::{Config, grpc::Grpc, source::Source, table::Table};

/// Lists of all tenants' ports fit.
const MESSAGE_MAX_BYTES: usize = 64 << 20;
/// Without a scheduler it is ready all the same: frontends tell it of what starts.
const FIRST_NEWS: Duration = Duration::from_secs(5);
/// How long connections may go on after a shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until `stop` is cancelled.
///
/// # Errors
/// A port in use, TLS files that are not usable.
pub async fn run(config: Config, stop: CancellationToken) -> Result<()> {
    let incoming = TcpIncoming::bind(config.listen)
        .map_err(|cause| Error::because(format!("cannot listen on {}", config.listen), cause))?
        .with_nodelay(Some(true));
    let mut server = rpc::server(&config.tls)?;
    let table = Arc::new(Table::new(config.api_port, config.frontends.clone()));
    let source = Arc::new(Source::new(Channels::new(config.tls.clone()), &config, table.clone()));
    match timeout(FIRST_NEWS, source.learn()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = error.operator_text(), "no scheduler tells of ports yet"),
        Err(_) => tracing::warn!("no scheduler tells of ports yet"),
    }
    let learning = tokio::spawn(source.converge(stop.clone()));
    ready::announce(config.ready_file.as_deref()).map_err(|cause| Error::because("announce readiness", cause))?;
    tracing::info!(listen = %config.listen, "the edge serves");
    let service = EdgeServer::new(Grpc::new(table.clone())).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let served =
        server.add_service(service).serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned()).await;
    ready::withdraw(config.ready_file.as_deref());
    stop.cancel();
    let _ = learning.await;
    table.drain(DRAIN).await;
    served.map_err(|cause| Error::because("serve gRPC", cause))
}
