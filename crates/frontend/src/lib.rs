//! The frontend: Docker's HTTP API over mutually authenticated TLS, translated into calls to schedulers and agents.
//!
//! Stateless: nothing here is missed by another frontend. A request goes [`server`] (TLS, certificate) -> [`serve`] (who,
//! which API version, headers, log line) -> [`routes`] (the table) -> `handlers/<noun>/<verb>.rs`.

// `info` is one large `json!`.
#![recursion_limit = "256"]

mod blobs;
mod collector;
mod commit;
mod config;
mod error;
mod events;
mod extract;
mod files;
mod handlers;
mod hijack;
mod json;
mod patience;
mod proxied;
mod query;
mod routes;
mod serve;
mod server;
mod snapshot;
mod socket;
mod state;
mod stream;
mod version;
mod websocket;

pub use config::Config;
use domain::Result;
use tokio_util::sync::CancellationToken;

/// Serves until `shutdown` is cancelled, then drains.
///
/// # Errors
/// A configuration that cannot work: unreadable certificates, a port in use, a blob store that cannot be opened.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<()> {
    server::run(config, shutdown).await
}
