//! What this host is, for placement.

use domain::{Error, HostFacts, Result};

use crate::{Config, network::Plane};

/// As configured, and the rest as the machine has it.
pub(crate) fn of(config: &Config, network: &Plane) -> Result<HostFacts> {
    let (underlay_address, underlay_mtu) = network.underlay();
    let system = nix::sys::utsname::uname().map_err(|e| Error::because("uname", e))?;
    Ok(HostFacts {
        endpoint: config.advertise.clone(),
        underlay_address: underlay_address.into(),
        underlay_mtu,
        cpu_millis: config.cpu_millis.unwrap_or_else(cpu_millis),
        memory_bytes: config.memory_bytes.map_or_else(memory_bytes, Ok)?,
        kernel_version: system.release().to_string_lossy().into_owned(),
        architecture: architecture(std::env::consts::ARCH).to_owned(),
        operating_system: operating_system(),
        labels: config.labels.clone(),
        shared_volumes: config.shared_volumes.is_some(),
        volume_quotas: false,
        cgroup_version: crate::measure::cgroup_version(),
    })
}

fn cpu_millis() -> i64 {
    std::thread::available_parallelism().map_or(1000, |n| 1000 * n.get() as i64)
}

fn memory_bytes() -> Result<i64> {
    let text = std::fs::read_to_string("/proc/meminfo").map_err(|e| Error::because("memory of this host", e))?;
    let total =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<i64>().ok());
    total.map(|kib| kib << 10).ok_or_else(|| Error::internal("memory of this host"))
}

/// Go's names, as in Docker's JSON.
fn architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn operating_system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}
