//! A tenant, as the inventory keeps it. The *right* to act as one is `identity::Tenant`, which only `identity` can make.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Error, TenantId};

/// Size of a tenant's range of host uids and gids: a whole 16-bit space, as user namespaces are commonly mapped.
pub const UID_RANGE: u32 = 65_536;
/// Host uids below this are the host's own (the default start of subordinate ids on Linux distributions).
pub const UID_FIRST: u32 = 100_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRecord {
    pub id: TenantId,
    pub name: String,
    /// Counts up from 0 and is never used again: it selects the uid range.
    pub ordinal: u32,
    /// Bytes and thousandths of a CPU over all containers; None = what the data centre has.
    pub memory_quota_bytes: Option<i64>,
    pub cpu_quota_millis: Option<i64>,
    pub container_quota: Option<i64>,
    pub created_at: DateTime<Utc>,
}

impl TenantRecord {
    /// First host uid of the tenant's range.
    pub fn uid_base(&self) -> u32 {
        UID_FIRST + self.ordinal * UID_RANGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, users of the tenant too.
    Owner,
    /// Everything but users.
    Developer,
    /// Reads only: no exec, no attach to stdin.
    Viewer,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
        }
    }

    pub fn can_write(self) -> bool {
        self != Self::Viewer
    }
}

impl FromStr for Role {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        [Self::Owner, Self::Developer, Self::Viewer]
            .into_iter()
            .find(|r| r.as_str() == s)
            .ok_or_else(|| Error::invalid(format!("invalid role: {s:?}")))
    }
}
