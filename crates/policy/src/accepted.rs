//! The outcome of `create`: what the host runs, and what `inspect` shows.

use std::collections::BTreeMap;

use docker_api::types::{ContainerConfig, HostConfig};
use domain::{ContainerSpec, NewVolume};

#[derive(Debug, Clone)]
pub struct Accepted {
    pub spec: ContainerSpec,
    /// Each volume that it mounts, once.
    pub volumes: Vec<NewVolume>,
    /// Merged with the image's, as dockerd merges.
    pub config: ContainerConfig,
    /// With the values that were chosen for the tenant in place.
    pub host_config: HostConfig,
    pub labels: BTreeMap<String, String>,
    /// `zone==a`, `rack!=~b`: placement wishes on hosts.
    pub constraints: Vec<String>,
    /// `container==web`, `role!=db`: placement wishes on other containers and images.
    pub affinities: Vec<String>,
    /// For the answer's `Warnings`.
    pub warnings: Vec<String>,
    /// What `ps` shows.
    pub command: String,
    /// Docker's `HostConfig.NetworkMode`.
    pub network_mode: String,
}
