//! What a frontend asks the scheduler to place: the row, complete but for its host and addresses.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{ContainerId, ContainerName, ContainerSpec, NewVolume, TenantId};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewContainer {
    pub tenant: TenantId,
    pub id: ContainerId,
    pub name: ContainerName,
    /// The name was made up by the frontend: on a conflict the frontend tries another.
    pub name_generated: bool,
    /// As the tenant wrote it: Docker's `Config.Image`.
    pub image_reference: String,
    /// What `ps` shows, rendered once.
    pub command: String,
    /// Docker's `HostConfig.NetworkMode`.
    pub network_mode: String,
    pub spec: ContainerSpec,
    /// Each volume that `spec` mounts, once.
    #[serde(default)]
    pub volumes: Vec<NewVolume>,
    pub labels: BTreeMap<String, String>,
    /// Placement expressions in the Swarm grammar: `zone==a`, `container!=web`, `role!=~db`.
    pub constraints: Vec<String>,
    pub affinities: Vec<String>,
    /// Docker's `Config` and `HostConfig` as `inspect` shows them; nobody below the frontend looks inside.
    pub docker_config: Box<RawValue>,
    pub docker_host_config: Box<RawValue>,
    pub created_at: DateTime<Utc>,
}
