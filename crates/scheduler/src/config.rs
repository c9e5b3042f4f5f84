//! The section `[scheduler]` of the configuration file.

use std::{net::SocketAddr, path::PathBuf};

use rpc::TlsFiles;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where frontends and agents connect.
    pub listen: SocketAddr,
    pub database_url: String,
    /// Connections to the database.
    #[serde(default = "default_connections")]
    pub database_connections: u32,
    /// How long events are kept, in seconds; a week without it.
    #[serde(default = "default_event_retention_s")]
    pub event_retention_s: u64,
    pub tls: TlsFiles,
    #[serde(default)]
    pub ready_file: Option<PathBuf>,
}

fn default_connections() -> u32 {
    16
}

fn default_event_retention_s() -> u64 {
    7 * 24 * 60 * 60
}
