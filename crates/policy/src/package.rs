//! A package: the size that a container gets when its request says nothing, and the most that it may ask for.

use serde::{Deserialize, Serialize};

const MIB: i64 = 1 << 20;
const GIB: i64 = 1 << 30;

/// Bytes, and thousandths of a CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub name: String,
    pub memory_bytes: i64,
    pub memory_max_bytes: i64,
    pub cpu_millis: i64,
    pub cpu_max_millis: i64,
    pub pids_max: i64,
    /// Size of `/dev/shm` where none is asked for.
    pub shm_bytes: i64,
    /// `exec` is a legal option of a tmpfs.
    pub tmpfs_exec: bool,
    /// `SYS_PTRACE` may be added. It reaches only the container's own processes.
    pub ptrace: bool,
    /// The only name besides `""` that `HostConfig.Runtime` may have.
    pub runtime: String,
}

impl Package {
    /// What a tenant gets who has chosen nothing.
    pub fn standard() -> Self {
        Self {
            name: "standard".to_owned(),
            memory_bytes: 512 * MIB,
            memory_max_bytes: 16 * GIB,
            cpu_millis: 1000,
            cpu_max_millis: 8000,
            pids_max: 4096,
            shm_bytes: 64 * MIB,
            tmpfs_exec: true,
            ptrace: true,
            runtime: "runc".to_owned(),
        }
    }
}

/// Bytes with a binary unit, for messages: `512MiB`.
pub(crate) fn size_text(bytes: i64) -> String {
    match bytes {
        b if b >= GIB && b % GIB == 0 => format!("{}GiB", b / GIB),
        b if b >= MIB && b % MIB == 0 => format!("{}MiB", b / MIB),
        b => format!("{b}B"),
    }
}
