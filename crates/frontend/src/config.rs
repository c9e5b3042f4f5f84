//! `[frontend]` of the configuration file.

use std::{net::SocketAddr, path::PathBuf};

use rpc::TlsFiles;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where Docker clients connect.
    pub listen: SocketAddr,
    /// Where the agents fetch blobs.
    pub internal_listen: SocketAddr,
    pub database_url: String,
    /// Connections to Postgres.
    #[serde(default = "default_connections")]
    pub max_connections: u32,
    /// Directory of the blob store.
    pub blob_store: PathBuf,
    /// `https://address:port` of each scheduler; the first that answers is used.
    pub schedulers: Vec<String>,
    /// The frontend's identity among the roles.
    pub tls: TlsFiles,
    /// What Docker clients see, signed by the tenants' CA.
    pub endpoint_cert: PathBuf,
    pub endpoint_key: PathBuf,
    /// The tenants' CA: clients must present a certificate that it signed.
    pub client_ca: PathBuf,
    /// Registries that may be plain HTTP, have unknown certificates or private addresses: `host[:port]` or CIDR.
    #[serde(default)]
    pub insecure_registries: Vec<String>,
    /// Mirrors of Docker Hub.
    #[serde(default)]
    pub registry_mirrors: Vec<String>,
    pub ready_file: Option<PathBuf>,
}

fn default_connections() -> u32 {
    8
}
