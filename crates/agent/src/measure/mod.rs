//! What a container uses: its cgroup's counters, its interfaces, the disk under it.
//!
//! Nothing here changes a container. Counters are read from the kernel's files and not asked of containerd, which would
//! cost a call to the shim for each sample; both versions of cgroups are known, whichever the host has.

mod cgroup;
mod network;
mod sampler;
mod size;
mod v1;
mod v2;

use std::io;

use rpc::v1::StatsSample;

pub(crate) use cgroup::cgroup_version;
pub(crate) use sampler::{Samplers, Samples};
pub(crate) use size::written_bytes;

/// A running container, now: its cgroup, and the network namespace of its first process.
///
/// # Errors
/// When the run is over.
pub(crate) fn sample(cgroup: &str, pid: u32, cpu_millis: i64, elapsed_ns: u64) -> io::Result<StatsSample> {
    let mut sample = cgroup::read(cgroup, cgroup::Share { cpu_millis, elapsed_ns })?;
    sample.networks = network::read(pid);
    sample.read_at = Some(std::time::SystemTime::now().into());
    Ok(sample)
}
