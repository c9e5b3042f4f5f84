//! A further process in a container.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{ContainerId, ExecId, HostId};

/// What the agent runs; made by `policy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecSpec {
    pub args: Vec<String>,
    /// Added to the container's own.
    pub env: Vec<String>,
    /// Empty: the container's.
    pub cwd: String,
    /// Empty: the container's.
    pub user: String,
    pub tty: bool,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    /// Docker's notation (`ctrl-p,ctrl-q`); empty: the default. Obeyed by the frontend.
    pub detach_keys: String,
    /// Rows and columns at the start; 0 = unknown.
    pub console_height: u16,
    pub console_width: u16,
}

/// The inventory's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRecord {
    pub id: ExecId,
    pub container: ContainerId,
    pub host: HostId,
    pub spec: ExecSpec,
    /// `start` may be called once.
    pub started: bool,
    pub running: bool,
    /// On the host.
    pub pid: u32,
    /// None until it ended.
    pub exit_code: Option<i32>,
    pub created_at: DateTime<Utc>,
}
