//! A container's cgroup, of either version, as one sample.

use std::{fs, io, path::Path};

use rpc::v1;

use super::{v1 as first, v2 as second};

/// Where every distribution mounts it.
const ROOT: &str = "/sys/fs/cgroup";

/// The share of the host that the sample is scaled to: a tenant sees the CPUs of its container, not those of the host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub cpu_millis: i64,
    /// Since the container's start.
    pub elapsed_ns: u64,
}

/// Everything but networks and time.
///
/// # Errors
/// When the cgroup is gone: the container has ended.
pub(super) fn read(cgroup: &str, share: Share) -> io::Result<v1::StatsSample> {
    let root = Path::new(ROOT);
    let files = Files { root, cgroup: cgroup.trim_start_matches('/') };
    let mut sample = match cgroup_version() {
        2 => second::read(&files)?,
        _ => first::read(&files)?,
    };
    if let Some(cpu) = &mut sample.cpu {
        share.scale(cpu);
    }
    sample.running = true;
    Ok(sample)
}

/// Of this host; a hybrid one counts as 1, as its controllers do.
pub(crate) fn cgroup_version() -> u32 {
    if Path::new(ROOT).join("cgroup.controllers").exists() { 2 } else { 1 }
}

/// One container's files.
pub(super) struct Files<'a> {
    pub root: &'a Path,
    pub cgroup: &'a str,
}

impl Files<'_> {
    /// Of the first version's `controller`.
    pub(super) fn of(&self, controller: &str, file: &str) -> io::Result<String> {
        fs::read_to_string(self.root.join(controller).join(self.cgroup).join(file))
    }

    /// Of the second version.
    pub(super) fn unified(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(self.root.join(self.cgroup).join(file))
    }
}

impl Share {
    /// The time that the share offers is what Docker calls system time; what the host's CPUs gave is folded onto the
    /// container's.
    fn scale(self, cpu: &mut v1::CpuStats) {
        let online = u64::try_from(self.cpu_millis).unwrap_or(0).div_ceil(1000).max(1);
        cpu.online = u32::try_from(online).unwrap_or(u32::MAX);
        cpu.available_ns = self.elapsed_ns.saturating_mul(online);
        if cpu.each_ns.is_empty() {
            return;
        }
        let slots = usize::try_from(online).unwrap_or(usize::MAX).min(cpu.each_ns.len());
        let mut folded = vec![0u64; slots];
        for (host_cpu, ns) in cpu.each_ns.iter().enumerate() {
            folded[host_cpu % slots] += ns;
        }
        cpu.each_ns = folded;
    }
}

/// A file with one number; `max` and what is no number are None.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Lines of a name and a number.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name, number(value)?))
    })
}

pub(super) fn value(text: &str, name: &str) -> u64 {
    pairs(text).find(|(key, _)| *key == name).map_or(0, |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_of_the_host_are_folded_onto_the_containers() {
        let mut cpu = v1::CpuStats { each_ns: vec![1, 2, 3, 4, 5], ..Default::default() };
        Share { cpu_millis: 1500, elapsed_ns: 10 }.scale(&mut cpu);
        assert_eq!((cpu.online, cpu.available_ns, cpu.each_ns), (2, 20, vec![9, 6]));
        let mut cpu = v1::CpuStats::default();
        Share { cpu_millis: 100, elapsed_ns: 10 }.scale(&mut cpu);
        assert_eq!((cpu.online, cpu.available_ns, cpu.each_ns.len()), (1, 10, 0));
    }
}
