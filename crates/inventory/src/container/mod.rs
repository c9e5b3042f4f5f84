//! Containers as the inventory keeps them: what was asked for, where it is, and what its host last said of it.

mod find;
mod forget;
mod list;
mod observe;
mod rename;
mod row;
mod update;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{
    ContainerId, ContainerName, ContainerSpec, Digest, Endpoint, HostId, MountedVolume, Observation, PublishedPort,
};
use serde_json::value::RawValue;

pub(crate) use find::prefix_range;
pub(crate) use forget::forget;
pub(crate) use observe::observe;
pub use update::{Claim, Update};

/// One container with everything that `inspect` and the verbs need.
#[derive(Debug, Clone)]
pub struct Container {
    pub id: ContainerId,
    pub name: ContainerName,
    pub host: HostId,
    /// `https://address:port` of the host's agent.
    pub host_endpoint: String,
    /// It reported within the last 15 s.
    pub host_reachable: bool,
    pub image_id: Digest,
    /// As the tenant wrote it.
    pub image_reference: String,
    /// What `ps` shows.
    pub command: String,
    /// Docker's `HostConfig.NetworkMode`.
    pub network_mode: String,
    pub spec: ContainerSpec,
    pub docker_config: Box<RawValue>,
    pub docker_host_config: Box<RawValue>,
    pub labels: BTreeMap<String, String>,
    /// Generation 0 where the host has not answered yet.
    pub observation: Observation,
    pub volumes: Vec<MountedVolume>,
    pub endpoints: Vec<Endpoint>,
    /// While it runs.
    pub ports: Vec<PublishedPort>,
    pub created_at: DateTime<Utc>,
}

/// One line of `ps`: a [`Container`] without what only `inspect` shows.
#[derive(Debug, Clone)]
pub struct ContainerSummary {
    pub id: ContainerId,
    pub name: ContainerName,
    pub host: HostId,
    pub host_endpoint: String,
    pub host_reachable: bool,
    pub image_id: Digest,
    pub image_reference: String,
    pub command: String,
    pub network_mode: String,
    pub labels: BTreeMap<String, String>,
    pub observation: Observation,
    pub volumes: Vec<MountedVolume>,
    pub endpoints: Vec<Endpoint>,
    /// While it runs.
    pub ports: Vec<PublishedPort>,
    /// `80/tcp` and so on, out of its `Config`.
    pub exposed_ports: Vec<String>,
    pub created_at: DateTime<Utc>,
}
