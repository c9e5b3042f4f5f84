//! A compute host, as the control plane knows it.

use std::{collections::BTreeMap, net::IpAddr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::HostId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// Takes new containers.
    Active,
    /// Keeps what it has, takes nothing new.
    Cordoned,
}

/// What an agent says of its host when it connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostFacts {
    /// `https://address:port`, where frontends reach the agent.
    pub endpoint: String,
    pub underlay_address: IpAddr,
    pub underlay_mtu: u32,
    /// 1 or 2; 0 from an agent that does not say.
    #[serde(default)]
    pub cgroup_version: u32,
    /// Thousandths of a CPU that containers may have.
    pub cpu_millis: i64,
    pub memory_bytes: i64,
    pub kernel_version: String,
    /// Go's names: `amd64`, `arm64`.
    pub architecture: String,
    pub operating_system: String,
    /// `zone`, `region`, `rack` and what else the operator exposes to placement.
    pub labels: BTreeMap<String, String>,
    /// It has the operator's cluster file system, for volumes of the driver `shared`.
    #[serde(default)]
    pub shared_volumes: bool,
    /// Its file system has project quotas: volumes may have a `size`.
    #[serde(default)]
    pub volume_quotas: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub id: HostId,
    pub name: String,
    pub state: HostState,
    pub facts: HostFacts,
    pub cpu_millis_free: i64,
    pub memory_bytes_free: i64,
    pub containers: i64,
    /// Of the last report; a host that is silent for 15 s counts as unreachable.
    pub seen_at: DateTime<Utc>,
}

impl Host {
    /// Seconds of silence after which a host counts as unreachable; agents report at least every 5 s.
    pub const SILENCE_S: i64 = 15;

    pub fn is_reachable(&self, now: DateTime<Utc>) -> bool {
        (now - self.seen_at).num_seconds() < Self::SILENCE_S
    }
}
