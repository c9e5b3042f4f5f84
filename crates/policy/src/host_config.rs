//! `HostConfig`, taken apart field by field into the parts that the other modules decide.
//!
//! A field that Docker adds does not compile here until somebody has given it a rule.

mod shown;

use std::collections::{BTreeMap, HashMap};

use docker_api::types::{HostConfig, HostConfigLogConfig, Mount, ResourcesUlimits, RestartPolicy as WireRestart};
use domain::Result;

pub(crate) use shown::Shown;

use crate::{
    isolation,
    ports::Bindings,
    refuse::{forbidden, malformed, unsupported},
    resources::{Refused, Wanted},
};

/// What is left of a `HostConfig` once everything that a tenant may not have was refused.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub resources: Wanted,
    pub ulimits: Vec<ResourcesUlimits>,
    pub init: Option<bool>,
    pub binds: Option<Vec<String>>,
    pub mounts: Option<Vec<Mount>>,
    pub tmpfs: Option<HashMap<String, String>>,
    pub volumes_from: Option<Vec<String>>,
    pub volume_driver: String,
    pub shm_size: i64,
    pub log_config: Option<HostConfigLogConfig>,
    pub network_mode: Option<String>,
    pub port_bindings: Bindings,
    pub publish_all_ports: bool,
    pub restart_policy: Option<WireRestart>,
    pub auto_remove: bool,
    /// Rows and columns.
    pub console_size: (u16, u16),
    pub cap_add: Option<Vec<String>>,
    pub cap_drop: Option<Vec<String>>,
    pub security_opt: Option<Vec<String>>,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
    pub extra_hosts: Option<Vec<String>>,
    pub links: Option<Vec<String>>,
    pub group_add: Option<Vec<String>>,
    pub oom_score_adj: i32,
    pub readonly_rootfs: bool,
    pub sysctls: BTreeMap<String, String>,
}

pub(crate) fn take(host: HostConfig, package: &crate::Package) -> Result<Parts> {
    let HostConfig {
        cpu_shares,
        memory,
        cgroup_parent,
        blkio_weight,
        blkio_weight_device,
        blkio_device_read_bps,
        blkio_device_write_bps,
        blkio_device_read_iops,
        blkio_device_write_iops,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpuset_cpus,
        cpuset_mems,
        devices,
        device_cgroup_rules,
        device_requests,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        nano_cpus,
        oom_kill_disable,
        init,
        pids_limit,
        ulimits,
        cpu_count,
        cpu_percent,
        io_maximum_iops,
        io_maximum_bandwidth,
        binds,
        container_id_file,
        log_config,
        network_mode,
        port_bindings,
        restart_policy,
        auto_remove,
        volume_driver,
        volumes_from,
        mounts,
        console_size,
        annotations,
        cap_add,
        cap_drop,
        cgroupns_mode,
        dns,
        dns_options,
        dns_search,
        extra_hosts,
        group_add,
        ipc_mode,
        cgroup,
        links,
        oom_score_adj,
        pid_mode,
        privileged,
        publish_all_ports,
        readonly_rootfs,
        security_opt,
        storage_opt,
        tmpfs,
        uts_mode,
        userns_mode,
        shm_size,
        sysctls,
        runtime,
        isolation,
        masked_paths,
        readonly_paths,
    } = host;
    isolation::Wanted {
        privileged,
        masked_paths,
        readonly_paths,
        pid_mode,
        ipc_mode,
        uts_mode,
        userns_mode,
        cgroupns_mode,
        cgroup,
        runtime,
        isolation,
        annotations,
        volume_driver: volume_driver.clone(),
        container_id_file,
    }
    .check(package)?;
    Refused {
        cgroup_parent,
        cpuset_cpus,
        cpuset_mems,
        cpu_realtime_period,
        cpu_realtime_runtime,
        devices,
        device_cgroup_rules,
        device_requests,
        blkio_weight_device,
        blkio_device_read_bps,
        blkio_device_write_bps,
        blkio_device_read_iops,
        blkio_device_write_iops,
        oom_kill_disable,
        cpu_count,
        cpu_percent,
        io_maximum_iops,
        io_maximum_bandwidth,
    }
    .check("HostConfig.")?;
    check_storage(storage_opt.as_ref())?;
    Ok(Parts {
        resources: Wanted {
            memory: memory.unwrap_or(0),
            memory_reservation: memory_reservation.unwrap_or(0),
            memory_swap: memory_swap.unwrap_or(0),
            memory_swappiness,
            nano_cpus: nano_cpus.unwrap_or(0),
            cpu_quota: cpu_quota.unwrap_or(0),
            cpu_period: cpu_period.unwrap_or(0),
            cpu_shares: cpu_shares.unwrap_or(0),
            pids_limit,
            blkio_weight: blkio_weight.unwrap_or(0),
        },
        ulimits: ulimits.unwrap_or_default(),
        init,
        binds,
        mounts,
        tmpfs,
        volumes_from,
        volume_driver: volume_driver.unwrap_or_default(),
        shm_size: shm_size.unwrap_or(0),
        log_config,
        network_mode,
        port_bindings: port_bindings.unwrap_or_default(),
        publish_all_ports: publish_all_ports.unwrap_or(false),
        restart_policy,
        auto_remove: auto_remove.unwrap_or(false),
        console_size: console("HostConfig.ConsoleSize", console_size.as_deref())?,
        cap_add,
        cap_drop,
        security_opt,
        dns: dns.unwrap_or_default(),
        dns_options: dns_options.unwrap_or_default(),
        dns_search: dns_search.unwrap_or_default(),
        extra_hosts,
        links,
        group_add,
        oom_score_adj: oom_score(oom_score_adj.unwrap_or(0))?,
        readonly_rootfs: readonly_rootfs.unwrap_or(false),
        sysctls: crate::sysctls::all(sysctls.iter().flatten())?,
    })
}

/// R06. A negative score would make the kernel kill others first.
fn oom_score(given: i64) -> Result<i32> {
    match given {
        0..=1000 => Ok(i32::try_from(given).unwrap_or(0)),
        -1000..=-1 => Err(forbidden("HostConfig.OomScoreAdj", given, "R06")),
        _ => Err(malformed("HostConfig.OomScoreAdj", given, "range is [-1000, 1000]", "R06")),
    }
}

/// R11: a quota on the root file system cannot be given yet; other keys belong to storage drivers that are not here.
fn check_storage(given: Option<&HashMap<String, String>>) -> Result<()> {
    let Some((key, value)) = given.and_then(|options| options.iter().min()) else { return Ok(()) };
    let is_size = value.bytes().next().is_some_and(|b| b.is_ascii_digit());
    match key.as_str() {
        "size" if is_size => Err(unsupported("HostConfig.StorageOpt", format!("size={value}"))),
        _ => Err(malformed("HostConfig.StorageOpt", format!("{key}={value}"), "no such option", "R11")),
    }
}

/// P25: rows and columns, each at most 1000.
pub(crate) fn console(field: &str, given: Option<&[usize]>) -> Result<(u16, u16)> {
    let size = |n: usize| u16::try_from(n).ok().filter(|n| *n <= 1000);
    match given {
        None | Some([]) => Ok((0, 0)),
        Some([rows, columns]) => match (size(*rows), size(*columns)) {
            (Some(rows), Some(columns)) => Ok((rows, columns)),
            _ => Err(malformed(field, format!("[{rows},{columns}]"), "at most 1000 each", "P25")),
        },
        Some(other) => Err(malformed(field, format!("{other:?}"), "needs rows and columns", "P25")),
    }
}
