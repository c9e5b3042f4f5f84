//! What an agent saw, with a generation that orders it.
//!
//! Two writers store observations: the frontend whose verb caused it, and the scheduler that ingests reports. Either may
//! be late; the inventory keeps the greatest generation and ignores the rest.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{ContainerId, ExecId, Happening, Health, Status, TenantId};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    pub tenant: TenantId,
    pub container: ContainerId,
    /// Grows with each observation of this container, also over restarts of the agent.
    pub generation: u64,
    pub status: Status,
    /// The host has nothing of it any more.
    pub removed: bool,
    /// On the host; never shown to a tenant. 0 when it does not run.
    pub pid: u32,
    pub exit_code: i32,
    pub oom_killed: bool,
    /// Docker's `State.Error`, fit for a tenant.
    pub error: String,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub restart_count: u32,
    pub health: Option<Health>,
    /// Bytes that it has written on top of its image, as last measured; None: not measured since the last observation.
    #[serde(default)]
    pub size_rw_bytes: Option<i64>,
    /// The newest ones, oldest first, also those that earlier observations carried.
    #[serde(default)]
    pub happenings: Vec<Happening>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecObservation {
    pub tenant: TenantId,
    pub container: ContainerId,
    pub exec: ExecId,
    pub running: bool,
    /// On the host; 0 before the start.
    pub pid: u32,
    /// Valid once it no longer runs.
    pub exit_code: i32,
}
