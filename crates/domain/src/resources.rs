//! What a container takes of its host.

use serde::{Deserialize, Serialize};

/// cgroup limits, all resolved: `policy` has put the package's values where the tenant gave none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Bytes; the hard limit, and what is reserved on the host.
    pub memory_bytes: i64,
    /// Bytes; soft limit, 0 = none.
    pub memory_reservation_bytes: i64,
    /// Thousandths of a CPU: the quota, and what is reserved on the host.
    pub cpu_millis: i64,
    /// Microseconds.
    pub cpu_period_us: u64,
    /// Microseconds of CPU time in each period.
    pub cpu_quota_us: i64,
    /// cgroup v1 scale, 2..=262144; 1024 is Docker's default.
    pub cpu_shares: u64,
    pub pids_limit: i64,
    /// 10..=1000, 0 = none.
    pub blkio_weight: u16,
}
