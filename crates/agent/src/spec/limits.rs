//! cgroup limits, and process limits.

use domain::{Resources, spec::Rlimit};
use nix::sys::resource::{Resource, getrlimit};
use oci_spec::{
    OciSpecError,
    runtime::{
        LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources,
        LinuxResourcesBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
    },
};

use super::devices;

pub(super) fn build(limits: &Resources) -> Result<LinuxResources, OciSpecError> {
    // swap = limit: no swap on top, and no way to escape the limit by swapping.
    let mut memory = LinuxMemoryBuilder::default().limit(limits.memory_bytes).swap(limits.memory_bytes);
    if limits.memory_reservation_bytes > 0 {
        memory = memory.reservation(limits.memory_reservation_bytes);
    }
    let cpu = LinuxCpuBuilder::default()
        .quota(limits.cpu_quota_us)
        .period(limits.cpu_period_us)
        .shares(limits.cpu_shares)
        .build()?;
    let mut all = LinuxResourcesBuilder::default()
        .memory(memory.build()?)
        .cpu(cpu)
        .pids(LinuxPidsBuilder::default().limit(limits.pids_limit).build()?)
        .devices(devices::rules()?);
    if limits.blkio_weight > 0 {
        all = all.block_io(LinuxBlockIoBuilder::default().weight(limits.blkio_weight).build()?);
    }
    all.build()
}

/// For a container that runs: everything but its devices, which no update changes.
pub(super) fn live(limits: &Resources) -> Result<LinuxResources, OciSpecError> {
    let mut all = build(limits)?;
    all.set_devices(None);
    Ok(all)
}

/// What was asked for, no higher than this host allows: raising a hard limit needs CAP_SYS_RESOURCE, which the machine
/// may not have, and runc fails where it cannot set one.
pub(super) fn rlimits(asked: &[Rlimit]) -> Result<Vec<PosixRlimit>, OciSpecError> {
    let known = asked.iter().filter_map(|limit| Some((kind(&limit.name)?, limit)));
    known
        .map(|((typ, resource), limit)| {
            let ceiling = resource.and_then(|r| getrlimit(r).ok()).map_or(u64::MAX, |(_, hard)| hard);
            let hard = limit.hard.min(ceiling);
            PosixRlimitBuilder::default().typ(typ).hard(hard).soft(limit.soft.min(hard)).build()
        })
        .collect()
}

fn kind(name: &str) -> Option<(PosixRlimitType, Option<Resource>)> {
    use PosixRlimitType as T;
    Some(match name {
        "core" => (T::RlimitCore, Some(Resource::RLIMIT_CORE)),
        "cpu" => (T::RlimitCpu, Some(Resource::RLIMIT_CPU)),
        "data" => (T::RlimitData, Some(Resource::RLIMIT_DATA)),
        "fsize" => (T::RlimitFsize, Some(Resource::RLIMIT_FSIZE)),
        "locks" => (T::RlimitLocks, None),
        "memlock" => (T::RlimitMemlock, Some(Resource::RLIMIT_MEMLOCK)),
        "msgqueue" => (T::RlimitMsgqueue, None),
        "nice" => (T::RlimitNice, None),
        "nofile" => (T::RlimitNofile, Some(Resource::RLIMIT_NOFILE)),
        "nproc" => (T::RlimitNproc, Some(Resource::RLIMIT_NPROC)),
        "rss" => (T::RlimitRss, Some(Resource::RLIMIT_RSS)),
        "rtprio" => (T::RlimitRtprio, None),
        "rttime" => (T::RlimitRttime, None),
        "sigpending" => (T::RlimitSigpending, None),
        "stack" => (T::RlimitStack, Some(Resource::RLIMIT_STACK)),
        _ => return None,
    })
}
