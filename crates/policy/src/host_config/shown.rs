//! `HostConfig` as `inspect` shows it: what was asked for, with the values that were chosen here in place.

use docker_api::types::{HostConfig, HostConfigCgroupnsModeEnum as CgroupNs};
use domain::{ContainerSpec, Resources};

use super::Parts;
use crate::{Package, log, oci, resources::Wanted, restart, ulimits};

/// What else the picture needs.
pub(crate) struct Shown<'a> {
    pub spec: &'a ContainerSpec,
    pub package: &'a Package,
    pub network_mode: String,
}

impl Shown<'_> {
    pub(crate) fn of(self, parts: Parts) -> HostConfig {
        let Parts {
            resources: wanted,
            ulimits: _,
            init,
            binds,
            mounts,
            tmpfs,
            volumes_from,
            volume_driver,
            shm_size: _,
            log_config,
            network_mode: _,
            port_bindings,
            publish_all_ports,
            restart_policy: _,
            auto_remove,
            console_size: (rows, columns),
            cap_add,
            cap_drop,
            security_opt,
            dns,
            dns_options,
            dns_search,
            extra_hosts,
            links,
            group_add,
            oom_score_adj,
            readonly_rootfs,
            sysctls,
        } = parts;
        let spec = self.spec;
        let Resources {
            memory_bytes,
            memory_reservation_bytes,
            cpu_millis: _,
            cpu_period_us: _,
            cpu_quota_us: _,
            cpu_shares: _,
            pids_limit,
            blkio_weight,
        } = spec.resources;
        let (nano_cpus, cpu_quota, cpu_period) = cpu(&wanted, &spec.resources);
        HostConfig {
            cpu_shares: Some(wanted.cpu_shares),
            memory: Some(memory_bytes),
            cgroup_parent: text(""),
            blkio_weight: Some(blkio_weight),
            blkio_weight_device: Some(Vec::new()),
            blkio_device_read_bps: Some(Vec::new()),
            blkio_device_write_bps: Some(Vec::new()),
            blkio_device_read_iops: Some(Vec::new()),
            blkio_device_write_iops: Some(Vec::new()),
            cpu_period: Some(cpu_period),
            cpu_quota: Some(cpu_quota),
            cpu_realtime_period: Some(0),
            cpu_realtime_runtime: Some(0),
            cpuset_cpus: text(""),
            cpuset_mems: text(""),
            devices: Some(Vec::new()),
            device_cgroup_rules: None,
            device_requests: None,
            memory_reservation: Some(memory_reservation_bytes),
            memory_swap: Some(memory_bytes),
            memory_swappiness: None,
            nano_cpus: Some(nano_cpus),
            oom_kill_disable: Some(false),
            init,
            pids_limit: Some(pids_limit),
            ulimits: Some(ulimits::shown(&spec.process.rlimits)),
            cpu_count: Some(0),
            cpu_percent: Some(0),
            io_maximum_iops: Some(0),
            io_maximum_bandwidth: Some(0),
            binds,
            container_id_file: text(""),
            log_config: Some(log::shown(&spec.log, log_config.and_then(|l| l.config))),
            network_mode: Some(self.network_mode),
            port_bindings: Some(port_bindings),
            restart_policy: Some(restart::shown(spec.restart)),
            auto_remove: Some(auto_remove),
            volume_driver: Some(volume_driver),
            volumes_from,
            mounts,
            console_size: Some(vec![usize::from(rows), usize::from(columns)]),
            annotations: None,
            cap_add,
            cap_drop,
            cgroupns_mode: Some(CgroupNs::PRIVATE),
            dns: Some(dns),
            dns_options: Some(dns_options),
            dns_search: Some(dns_search),
            extra_hosts,
            group_add,
            ipc_mode: text("private"),
            cgroup: text(""),
            links,
            oom_score_adj: Some(i64::from(oom_score_adj)),
            pid_mode: text(""),
            privileged: Some(false),
            publish_all_ports: Some(publish_all_ports),
            readonly_rootfs: Some(readonly_rootfs),
            security_opt,
            storage_opt: None,
            tmpfs,
            uts_mode: text(""),
            userns_mode: text(""),
            shm_size: Some(spec.shm_bytes),
            sysctls: Some(sysctls.into_iter().collect()),
            runtime: Some(self.package.runtime.clone()),
            isolation: Some(docker_api::types::HostConfigIsolationEnum::EMPTY),
            masked_paths: Some(owned(&oci::MASKED_PATHS)),
            readonly_paths: Some(owned(&oci::READONLY_PATHS)),
        }
    }
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|p| (*p).to_owned()).collect()
}

/// `NanoCpus`, `CpuQuota`, `CpuPeriod`: in the terms of the request; the package's share counts as `NanoCpus`.
pub(crate) fn cpu(wanted: &Wanted, got: &Resources) -> (i64, i64, i64) {
    if wanted.nano_cpus > 0 {
        return (wanted.nano_cpus, 0, 0);
    }
    if wanted.cpu_quota > 0 || wanted.cpu_period > 0 {
        return (0, got.cpu_quota_us, wanted.cpu_period);
    }
    (got.cpu_millis * 1_000_000, 0, 0)
}
