//! cgroup v1: a hierarchy for each controller.
//!
//! Times of `cpuacct.stat` are in ticks of 10 ms, all others in nanoseconds. dockerd shows a fixed choice of `memory.stat`.

use std::io;

use rpc::v1;

use super::cgroup::{Files, number, pairs, value};

/// `USER_HZ`, the same on every architecture that we run on.
const TICK_NS: u64 = 10_000_000;

/// Each of them, and each behind `total_` as well.
const MEMORY: [&str; 16] = [
    "active_anon",
    "active_file",
    "cache",
    "dirty",
    "inactive_anon",
    "inactive_file",
    "mapped_file",
    "pgfault",
    "pgmajfault",
    "pgpgin",
    "pgpgout",
    "rss",
    "rss_huge",
    "unevictable",
    "writeback",
    "swap",
];
const MEMORY_LIMITS: [&str; 2] = ["hierarchical_memory_limit", "hierarchical_memsw_limit"];

pub(super) fn read(files: &Files<'_>) -> io::Result<v1::StatsSample> {
    let optional = |controller, file| files.of(controller, file).unwrap_or_default();
    let memory = Memory {
        stat: &files.of("memory", "memory.stat")?,
        usage: &files.of("memory", "memory.usage_in_bytes")?,
        max_usage: &optional("memory", "memory.max_usage_in_bytes"),
        limit: &optional("memory", "memory.limit_in_bytes"),
        failures: &optional("memory", "memory.failcnt"),
    };
    let cpu = Cpu {
        usage: &files.of("cpuacct", "cpuacct.usage")?,
        each: &optional("cpuacct", "cpuacct.usage_percpu"),
        split: &optional("cpuacct", "cpuacct.stat"),
        throttled: &optional("cpu", "cpu.stat"),
    };
    Ok(v1::StatsSample {
        cpu: Some(cpu.parse()),
        memory: Some(memory.parse()),
        pids: number(&optional("pids", "pids.current")).unwrap_or(0),
        pids_limit: number(&optional("pids", "pids.max")).unwrap_or(0),
        blkio: Some(v1::BlkioStats {
            bytes: entries(&optional("blkio", "blkio.throttle.io_service_bytes_recursive")),
            operations: entries(&optional("blkio", "blkio.throttle.io_serviced_recursive")),
            unified: false,
        }),
        ..Default::default()
    })
}

/// Contents of the files.
struct Memory<'a> {
    stat: &'a str,
    usage: &'a str,
    max_usage: &'a str,
    limit: &'a str,
    failures: &'a str,
}

impl Memory<'_> {
    fn parse(&self) -> v1::MemoryStats {
        let shown = |name: &str| MEMORY.contains(&name.strip_prefix("total_").unwrap_or(name));
        let stats = pairs(self.stat).filter(|(name, _)| shown(name) || MEMORY_LIMITS.contains(name));
        // dockerd has no `swap` of either kind.
        let stats = stats.filter(|(name, _)| !name.ends_with("swap"));
        v1::MemoryStats {
            usage_bytes: number(self.usage).unwrap_or(0),
            max_usage_bytes: number(self.max_usage).unwrap_or(0),
            limit_bytes: number(self.limit).unwrap_or(0),
            failures: number(self.failures).unwrap_or(0),
            stats: stats.map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }
}

struct Cpu<'a> {
    usage: &'a str,
    each: &'a str,
    split: &'a str,
    throttled: &'a str,
}

impl Cpu<'_> {
    fn parse(&self) -> v1::CpuStats {
        v1::CpuStats {
            total_ns: number(self.usage).unwrap_or(0),
            user_ns: value(self.split, "user") * TICK_NS,
            kernel_ns: value(self.split, "system") * TICK_NS,
            each_ns: self.each.split_whitespace().filter_map(|ns| ns.parse().ok()).collect(),
            periods: value(self.throttled, "nr_periods"),
            throttled_periods: value(self.throttled, "nr_throttled"),
            throttled_ns: value(self.throttled, "throttled_time"),
            ..Default::default()
        }
    }
}

/// `8:0 Read 4096`; the sum at the end is left out.
fn entries(text: &str) -> Vec<v1::BlkioEntry> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let operation = words.next()?.to_owned();
        let value = words.next()?.parse().ok()?;
        Some(v1::BlkioEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, operation, value })
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a container on a 6.18 kernel.
    const STAT: &str = "cache 3153920\nrss 53248\nrss_huge 0\nshmem 0\nmapped_file 0\ndirty 4096\nwriteback 0\n\
        workingset_refault_anon 0\nswap 0\nswapcached 0\npgpgin 1709\npgpgout 1691\npgfault 2184\npgmajfault 0\n\
        inactive_anon 49152\nactive_anon 4096\ninactive_file 3145728\nactive_file 8192\nunevictable 0\n\
        hierarchical_memory_limit 67108864\nhierarchical_memsw_limit 67108864\ntotal_cache 3153920\ntotal_rss 53248\n\
        total_swap 0\ntotal_inactive_file 3145728\ntotal_active_file 8192\n";

    #[test]
    fn memory_is_dockerds_choice_of_the_kernels_counters() {
        let memory =
            Memory { stat: STAT, usage: "4411392\n", max_usage: "8216576\n", limit: "67108864\n", failures: "3\n" };
        let got = memory.parse();
        assert_eq!(
            (got.usage_bytes, got.max_usage_bytes, got.limit_bytes, got.failures),
            (4411392, 8216576, 67108864, 3)
        );
        assert_eq!((got.stats["total_inactive_file"], got.stats["rss"]), (3_145_728, 53_248));
        assert_eq!(got.stats["hierarchical_memory_limit"], 67_108_864);
        for absent in ["swap", "total_swap", "shmem", "workingset_refault_anon", "swapcached"] {
            assert!(!got.stats.contains_key(absent), "{absent}");
        }
    }

    #[test]
    fn cpu_times_are_nanoseconds_whatever_the_file_counts_in() {
        let cpu = Cpu {
            usage: "8300217096\n",
            each: "8029912785 270304311 \n",
            split: "user 829\nsystem 1\n",
            throttled: "nr_periods 166\nnr_throttled 165\nthrottled_time 8142770055\nnr_bursts 0\nburst_time 0\n",
        };
        let got = cpu.parse();
        assert_eq!((got.total_ns, got.user_ns, got.kernel_ns), (8_300_217_096, 8_290_000_000, 10_000_000));
        assert_eq!(got.each_ns, [8_029_912_785, 270_304_311]);
        assert_eq!((got.periods, got.throttled_periods, got.throttled_ns), (166, 165, 8_142_770_055));
    }

    #[test]
    fn block_io_of_each_device_and_direction_without_the_sum() {
        let got = entries("8:0 Read 4096\n8:0 Write 0\n8:0 Discard 0\n8:0 Total 4096\nTotal 4096\n");
        assert_eq!(got.len(), 4);
        assert_eq!((got[0].major, got[0].minor, got[0].operation.as_str(), got[0].value), (8, 0, "Read", 4096));
        assert!(entries("Total 0\n").is_empty());
    }
}
