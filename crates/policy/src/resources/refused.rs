//! R04, R06, R10, R12, P11, P18: fields of Docker's `Resources` that a tenant may not set at all.

use docker_api::types::{DeviceMapping, DeviceRequest, ResourcesBlkioWeightDevice, ThrottleDevice};
use domain::Result;

use crate::refuse::{forbidden, malformed};

/// The fields, as `HostConfig` and the update body share them.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    pub cgroup_parent: Option<String>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub cpu_realtime_period: Option<i64>,
    pub cpu_realtime_runtime: Option<i64>,
    pub devices: Option<Vec<DeviceMapping>>,
    pub device_cgroup_rules: Option<Vec<String>>,
    pub device_requests: Option<Vec<DeviceRequest>>,
    pub blkio_weight_device: Option<Vec<ResourcesBlkioWeightDevice>>,
    pub blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
    pub blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
    pub blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
    pub blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
    pub oom_kill_disable: Option<bool>,
    pub cpu_count: Option<i64>,
    pub cpu_percent: Option<i64>,
    pub io_maximum_iops: Option<i64>,
    pub io_maximum_bandwidth: Option<i64>,
}

impl Refused {
    /// `at` is `HostConfig.` or nothing.
    pub(crate) fn check(self, at: &str) -> Result<()> {
        let Self {
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
        } = self;
        let at = At(at);
        at.text("CgroupParent", cgroup_parent, "P11")?;
        at.text("CpusetCpus", cpuset_cpus, "R04")?;
        at.text("CpusetMems", cpuset_mems, "R04")?;
        at.number("CpuRealtimePeriod", cpu_realtime_period, "R04")?;
        at.number("CpuRealtimeRuntime", cpu_realtime_runtime, "R04")?;
        at.devices("Devices", devices, |d| d.path_on_host.as_deref(), "P18")?;
        at.devices("DeviceCgroupRules", device_cgroup_rules, |rule| Some(rule.as_str()), "P18")?;
        at.devices("DeviceRequests", device_requests, |d| d.driver.as_deref(), "P18")?;
        at.devices("BlkioWeightDevice", blkio_weight_device, |d| d.path.as_deref(), "R10")?;
        at.devices("BlkioDeviceReadBps", blkio_device_read_bps, |d| d.path.as_deref(), "R10")?;
        at.devices("BlkioDeviceWriteBps", blkio_device_write_bps, |d| d.path.as_deref(), "R10")?;
        at.devices("BlkioDeviceReadIOps", blkio_device_read_iops, |d| d.path.as_deref(), "R10")?;
        at.devices("BlkioDeviceWriteIOps", blkio_device_write_iops, |d| d.path.as_deref(), "R10")?;
        if oom_kill_disable == Some(true) {
            return Err(forbidden(&at.field("OomKillDisable"), true, "R06"));
        }
        at.windows("CpuCount", cpu_count)?;
        at.windows("CpuPercent", cpu_percent)?;
        at.windows("IOMaximumIOps", io_maximum_iops)?;
        at.windows("IOMaximumBandwidth", io_maximum_bandwidth)
    }
}

struct At<'a>(&'a str);

impl At<'_> {
    fn field(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    fn text(&self, name: &str, value: Option<String>, rule: &str) -> Result<()> {
        match value.filter(|v| !v.is_empty()) {
            Some(value) => Err(forbidden(&self.field(name), value, rule)),
            None => Ok(()),
        }
    }

    fn number(&self, name: &str, value: Option<i64>, rule: &str) -> Result<()> {
        match value.filter(|v| *v != 0) {
            Some(value) => Err(forbidden(&self.field(name), value, rule)),
            None => Ok(()),
        }
    }

    fn windows(&self, name: &str, value: Option<i64>) -> Result<()> {
        match value.filter(|v| *v != 0) {
            Some(value) => Err(malformed(&self.field(name), value, "only for Windows containers", "R12")),
            None => Ok(()),
        }
    }

    /// Refused before anybody looks at the path: an answer that depends on it would tell which files the host has.
    fn devices<T>(&self, name: &str, list: Option<Vec<T>>, path: fn(&T) -> Option<&str>, rule: &str) -> Result<()> {
        match list.unwrap_or_default().first() {
            Some(first) => Err(forbidden(&self.field(name), format!("[{}]", path(first).unwrap_or("...")), rule)),
            None => Ok(()),
        }
    }
}
