//! The states of a container and what is legal in them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// Docker's `State.Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Created,
    Running,
    Paused,
    /// Exited, and its restart policy will start it again.
    Restarting,
    Exited,
    Removing,
    /// Half removed; only `rm` is legal.
    Dead,
}

impl Status {
    pub const ALL: [Self; 7] =
        [Self::Created, Self::Running, Self::Paused, Self::Restarting, Self::Exited, Self::Removing, Self::Dead];

    /// A process of it exists (Docker's `State.Running`, true while paused or restarting too).
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }

    pub fn can_start(self) -> bool {
        matches!(self, Self::Created | Self::Exited)
    }

    pub fn can_exec(self) -> bool {
        self == Self::Running
    }

    /// Without `force`.
    pub fn can_remove(self) -> bool {
        !self.is_running()
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|v| v.as_str() == s).ok_or_else(|| Error::invalid(format!("invalid status: {s:?}")))
    }
}
