//! `[edge]` of the configuration file.

use std::{net::SocketAddr, path::PathBuf};

use rpc::TlsFiles;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where frontends tell of ports.
    pub listen: SocketAddr,
    /// `https://address:port` of `listen`, as frontends reach it.
    pub advertise: String,
    /// `https://address:port` of each scheduler; the first that answers is used.
    pub schedulers: Vec<String>,
    /// The Docker API's port at each tenant's address.
    pub api_port: u16,
    /// Where the API's connections go, in turn: the `proxied_listen` of frontends.
    pub frontends: Vec<SocketAddr>,
    pub tls: TlsFiles,
    #[serde(default)]
    pub ready_file: Option<PathBuf>,
}
