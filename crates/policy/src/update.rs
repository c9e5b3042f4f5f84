//! `POST /containers/{id}/update`: E01, by the same functions as create.

use docker_api::types::{ContainerUpdateBody, HostConfig};
use domain::{ContainerSpec, Error, Resources, Result, spec::RestartPolicy};

use crate::{
    Package,
    refuse::unsupported,
    resources::{Limits, Refused, Wanted},
    restart,
};

/// What changes. The caller reserves the difference, tells the agent, and stores [`Updated::apply_to`]'s result.
#[derive(Debug, Clone)]
pub struct Updated {
    pub resources: Resources,
    /// None: as it is.
    pub restart: Option<RestartPolicy>,
    /// For the answer's `Warnings`.
    pub warnings: Vec<String>,
    wanted: Wanted,
}

/// Checks an update of `current`.
pub fn update(current: &ContainerSpec, package: &Package, body: ContainerUpdateBody) -> Result<Updated> {
    let ContainerUpdateBody {
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
        restart_policy,
    } = body;
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
    .check("")?;
    if init.is_some() {
        return Err(unsupported("Init", "(on update)"));
    }
    if ulimits.is_some_and(|u| !u.is_empty()) {
        return Err(unsupported("Ulimits", "(on update)"));
    }
    let restart = restart_policy.filter(|p| p.name.is_some_and(|n| !n.as_ref().is_empty()));
    let restart = restart.map(|p| restart::resolve(Some(&p))).transpose()?;
    if current.auto_remove && restart.is_some_and(|p| p != RestartPolicy::No) {
        return Err(Error::conflict(
            "Restart policy cannot be updated because AutoRemove is enabled for the container",
        ));
    }
    let wanted = Wanted {
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
    };
    let mut warnings = Vec::new();
    let limits = Limits { at: "", package, current: Some(&current.resources) };
    let resources = limits.resolve(&wanted, &mut warnings)?;
    Ok(Updated { resources, restart, warnings, wanted })
}

impl Updated {
    /// The `HostConfig` that `inspect` shows from now on.
    pub fn apply_to(&self, host: HostConfig) -> HostConfig {
        let (wanted, got) = (&self.wanted, &self.resources);
        let (nano_cpus, cpu_quota, cpu_period) = self.cpu(&host);
        let new_shares = Some(wanted.cpu_shares).filter(|s| *s != 0);
        HostConfig {
            memory: Some(got.memory_bytes),
            memory_swap: Some(got.memory_bytes),
            memory_reservation: Some(got.memory_reservation_bytes),
            nano_cpus,
            cpu_quota,
            cpu_period,
            cpu_shares: new_shares.or(host.cpu_shares),
            pids_limit: Some(got.pids_limit),
            blkio_weight: Some(got.blkio_weight),
            restart_policy: self.restart.map(restart::shown).or(host.restart_policy),
            ..host
        }
    }

    fn cpu(&self, host: &HostConfig) -> (Option<i64>, Option<i64>, Option<i64>) {
        let wanted = &self.wanted;
        if wanted.nano_cpus > 0 {
            return (Some(wanted.nano_cpus), Some(0), Some(0));
        }
        if wanted.cpu_quota > 0 || wanted.cpu_period > 0 {
            let period = i64::try_from(self.resources.cpu_period_us).unwrap_or(0);
            return (Some(0), Some(self.resources.cpu_quota_us), Some(period));
        }
        (host.nano_cpus, host.cpu_quota, host.cpu_period)
    }
}

#[cfg(test)]
mod tests {
    use docker_api::{strict, types::RestartPolicyNameEnum};

    use super::*;

    fn run(current: &ContainerSpec, body: &str) -> Result<Updated> {
        update(current, &Package::standard(), strict::parse(body.as_bytes()).expect("JSON"))
    }

    #[test]
    fn memory_and_policy_of_the_cli() {
        let current = crate::create::tests::plain();
        let updated = run(
            &current,
            r#"{"Memory":50331648,"MemorySwap":50331648,"PidsLimit":null,"RestartPolicy":{"Name":"unless-stopped"}}"#,
        )
        .expect("legal");
        assert_eq!((updated.resources.memory_bytes, updated.warnings.len()), (50_331_648, 0));
        assert_eq!(updated.resources.pids_limit, current.resources.pids_limit);
        let shown = updated.apply_to(HostConfig { nano_cpus: Some(1_000_000_000), ..HostConfig::default() });
        assert_eq!((shown.memory, shown.nano_cpus), (Some(50_331_648), Some(1_000_000_000)));
        let name = shown.restart_policy.and_then(|p| p.name);
        assert_eq!(name, Some(RestartPolicyNameEnum::UNLESS_STOPPED));
        let half = run(&current, r#"{"NanoCpus":500000000}"#).expect("legal");
        assert_eq!((half.resources.cpu_millis, half.restart), (500, None));
        assert_eq!(half.apply_to(HostConfig::default()).nano_cpus, Some(500_000_000));
    }

    #[test]
    fn hostile_updates_are_refused() {
        let mut current = crate::create::tests::plain();
        for field in [
            r#""Memory":9223372036854775807"#,
            r#""Devices":[{"PathOnHost":"/dev/sda"}]"#,
            r#""OomKillDisable":true"#,
            r#""BlkioDeviceWriteBps":[{"Path":"/dev/sda","Rate":0}]"#,
            r#""CgroupParent":"/""#,
            r#""CpusetCpus":"0""#,
            r#""Ulimits":[{"Name":"nofile","Soft":1,"Hard":1}]"#,
        ] {
            assert!(run(&current, &format!("{{{field}}}")).is_err(), "{field}");
        }
        assert!(run(&current, r#"{"MemorySwap":-1}"#).is_ok_and(|u| u.warnings.len() == 1));
        current.auto_remove = true;
        let conflict = run(&current, r#"{"RestartPolicy":{"Name":"always"}}"#);
        assert!(matches!(conflict, Err(Error::Conflict(_))));
    }
}
