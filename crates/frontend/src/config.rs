//! `[frontend]` of the configuration file.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rpc::TlsFiles;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where Docker clients connect.
    pub listen: SocketAddr,
    /// Where edges hand on what they got at tenants' own addresses.
    #[serde(default)]
    pub proxied_listen: Option<SocketAddr>,
    /// The authority that signs the certificates which clients see at those addresses.
    #[serde(default)]
    pub endpoint_issuer_cert: PathBuf,
    #[serde(default)]
    pub endpoint_issuer_key: PathBuf,
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
    /// URL of the index that `docker search` asks (`/v1/search?q=&n=`, as Docker Hub has it); none: there is no search.
    #[serde(default)]
    pub search_index: Option<String>,
    /// How long a blob stays that nothing refers to; at least a minute, since work under way counts on it.
    #[serde(default = "default_grace")]
    pub blob_grace_s: u64,
    /// How often such blobs are looked for; 0: by other frontends.
    #[serde(default = "default_collect")]
    pub blob_collect_s: u64,
    /// Networks of tenants that name no subnet are /20s out of it. Two tenants may overlap.
    #[serde(default = "default_network_pool")]
    pub network_pool: Ipv4Net,
    /// IPv6 networks of tenants that name no subnet are /64s out of it.
    #[serde(default = "default_network_pool6")]
    pub network_pool6: Ipv6Net,
    /// What no tenant's network may overlap: the underlay, management networks.
    #[serde(default)]
    pub reserved_subnets: Vec<IpNet>,
    pub ready_file: Option<PathBuf>,
}

fn default_grace() -> u64 {
    3600
}

fn default_collect() -> u64 {
    300
}

/// Docker's customary place.
fn default_network_pool() -> Ipv4Net {
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(172, 16, 0, 0), 12)
}

/// Unique local addresses; a site that talks to others has a random /48 of its own (RFC 4193), which `wharfinger up` sees to.
fn default_network_pool6() -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd77, 0x6861, 0x7266, 0, 0, 0, 0, 0), 48)
}

fn default_connections() -> u32 {
    8
}
