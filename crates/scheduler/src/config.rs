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
    pub tls: TlsFiles,
    #[serde(default)]
    pub ready_file: Option<PathBuf>,
}

fn default_connections() -> u32 {
    16
}
