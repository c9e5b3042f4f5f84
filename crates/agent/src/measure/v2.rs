//! cgroup v2: one directory, times in microseconds. dockerd shows a fixed choice of `memory.stat` here too.

use std::io;

use rpc::v1;

use super::cgroup::{Files, number, pairs, value};

const MEMORY: [&str; 33] = [
    "active_anon",
    "active_file",
    "anon",
    "anon_thp",
    "file",
    "file_dirty",
    "file_mapped",
    "file_writeback",
    "inactive_anon",
    "inactive_file",
    "kernel_stack",
    "pgactivate",
    "pgdeactivate",
    "pgfault",
    "pglazyfree",
    "pglazyfreed",
    "pgmajfault",
    "pgrefill",
    "pgscan",
    "pgsteal",
    "shmem",
    "slab",
    "slab_reclaimable",
    "slab_unreclaimable",
    "sock",
    "thp_collapse_alloc",
    "thp_fault_alloc",
    "unevictable",
    "workingset_activate",
    "workingset_nodereclaim",
    "workingset_refault",
    "workingset_refault_anon",
    "workingset_refault_file",
];

pub(super) fn read(files: &Files<'_>) -> io::Result<v1::StatsSample> {
    let optional = |file| files.unified(file).unwrap_or_default();
    Ok(v1::StatsSample {
        cpu: Some(cpu(&files.unified("cpu.stat")?)),
        memory: Some(v1::MemoryStats {
            usage_bytes: number(&files.unified("memory.current")?).unwrap_or(0),
            max_usage_bytes: 0,
            limit_bytes: number(&optional("memory.max")).unwrap_or(0),
            failures: value(&optional("memory.events"), "oom"),
            stats: memory(&optional("memory.stat")),
        }),
        pids: number(&optional("pids.current")).unwrap_or(0),
        pids_limit: number(&optional("pids.max")).unwrap_or(0),
        blkio: Some(v1::BlkioStats { bytes: entries(&optional("io.stat")), operations: Vec::new(), unified: true }),
        ..Default::default()
    })
}

fn cpu(stat: &str) -> v1::CpuStats {
    v1::CpuStats {
        total_ns: value(stat, "usage_usec") * 1000,
        user_ns: value(stat, "user_usec") * 1000,
        kernel_ns: value(stat, "system_usec") * 1000,
        periods: value(stat, "nr_periods"),
        throttled_periods: value(stat, "nr_throttled"),
        throttled_ns: value(stat, "throttled_usec") * 1000,
        ..Default::default()
    }
}

fn memory(stat: &str) -> std::collections::HashMap<String, u64> {
    pairs(stat).filter(|(name, _)| MEMORY.contains(name)).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn entries(text: &str) -> Vec<v1::BlkioEntry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let Some((device, counters)) = line.split_once(' ') else { continue };
        let Some((Ok(major), Ok(minor))) = device.split_once(':').map(|(a, b)| (a.parse(), b.parse())) else {
            continue;
        };
        for (name, operation) in [("rbytes=", "read"), ("wbytes=", "write")] {
            let value = counters.split_whitespace().find_map(|c| c.strip_prefix(name)?.parse().ok());
            let operation = operation.to_owned();
            entries.push(v1::BlkioEntry { major, minor, operation, value: value.unwrap_or(0) });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_become_nanoseconds() {
        let got = cpu("usage_usec 8300217\nuser_usec 8290000\nsystem_usec 10217\ncore_sched.force_idle_usec 0\n\
             nr_periods 166\nnr_throttled 165\nthrottled_usec 8142770\nnr_bursts 0\nburst_usec 0\n");
        assert_eq!((got.total_ns, got.user_ns, got.kernel_ns), (8_300_217_000, 8_290_000_000, 10_217_000));
        assert_eq!((got.periods, got.throttled_periods, got.throttled_ns), (166, 165, 8_142_770_000));
        assert!(got.each_ns.is_empty());
    }

    #[test]
    fn memory_is_dockerds_choice() {
        let got = memory(
            "anon 53248\nfile 3153920\nkernel 98304\nkernel_stack 16384\ninactive_file 3145728\n\
             slab 47104\nworkingset_refault_file 2\npgfault 2184\nzswap 0\n",
        );
        assert_eq!((got["inactive_file"], got["anon"], got["pgfault"]), (3_145_728, 53_248, 2184));
        assert!(!got.contains_key("kernel") && !got.contains_key("zswap"));
    }

    #[test]
    fn block_io_in_bytes_read_and_written() {
        let got = entries("8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n7:0 \n");
        let seen: Vec<_> = got.iter().map(|e| (e.major, e.operation.as_str(), e.value)).collect();
        assert_eq!(seen, [(8, "read", 4096), (8, "write", 8192), (7, "read", 0), (7, "write", 0)]);
    }

    #[test]
    fn an_unlimited_number_is_none() {
        assert_eq!((number("max\n"), number("4096\n")), (None, Some(4096)));
    }
}
