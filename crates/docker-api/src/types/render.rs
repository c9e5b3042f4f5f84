//! `Config` and `HostConfig` as `inspect` prints them.
//!
//! bollard's types leave out what is `None`; dockerd writes `null`, and clients index those keys without asking. So the
//! keys that dockerd always writes are put back, in dockerd's order.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{ContainerConfig, HostConfig};

/// dockerd's order; a key in brackets is left out when it is empty.
const CONFIG_KEYS: &[&str] = &[
    "Hostname",
    "Domainname",
    "User",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "[ExposedPorts]",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Env",
    "Cmd",
    "[Healthcheck]",
    "[ArgsEscaped]",
    "Image",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "[NetworkDisabled]",
    "OnBuild",
    "Labels",
    "[StopSignal]",
    "[StopTimeout]",
    "[Shell]",
];

const HOST_CONFIG_KEYS: &[&str] = &[
    "Binds",
    "ContainerIDFile",
    "LogConfig",
    "NetworkMode",
    "PortBindings",
    "RestartPolicy",
    "AutoRemove",
    "VolumeDriver",
    "VolumesFrom",
    "ConsoleSize",
    "[Annotations]",
    "CapAdd",
    "CapDrop",
    "CgroupnsMode",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "IpcMode",
    "Cgroup",
    "Links",
    "OomScoreAdj",
    "PidMode",
    "Privileged",
    "PublishAllPorts",
    "ReadonlyRootfs",
    "SecurityOpt",
    "[StorageOpt]",
    "[Tmpfs]",
    "UTSMode",
    "UsernsMode",
    "ShmSize",
    "[Sysctls]",
    "Runtime",
    "Isolation",
    "CpuShares",
    "Memory",
    "NanoCpus",
    "CgroupParent",
    "BlkioWeight",
    "BlkioWeightDevice",
    "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteIOps",
    "CpuPeriod",
    "CpuQuota",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "CpusetCpus",
    "CpusetMems",
    "Devices",
    "DeviceCgroupRules",
    "DeviceRequests",
    "MemoryReservation",
    "MemorySwap",
    "MemorySwappiness",
    "OomKillDisable",
    "PidsLimit",
    "Ulimits",
    "CpuCount",
    "CpuPercent",
    "IOMaximumIOps",
    "IOMaximumBandwidth",
    "[Mounts]",
    "MaskedPaths",
    "ReadonlyPaths",
    "[Init]",
];

/// `Config` of `inspect`. Errors never happen for these types; the signature keeps `unwrap` out.
pub fn container_config_json(config: &ContainerConfig) -> serde_json::Result<Value> {
    in_order(config, CONFIG_KEYS)
}

/// `HostConfig` of `inspect`.
pub fn host_config_json(config: &HostConfig) -> serde_json::Result<Value> {
    in_order(config, HOST_CONFIG_KEYS)
}

fn in_order(of: &impl Serialize, keys: &[&str]) -> serde_json::Result<Value> {
    let mut rest = match serde_json::to_value(of)? {
        Value::Object(fields) => fields,
        other => return Ok(other),
    };
    let mut out = Map::new();
    for key in keys {
        let optional = key.strip_prefix('[').and_then(|k| k.strip_suffix(']'));
        let name = optional.unwrap_or(key);
        let value = rest.remove(name).map_or(Value::Null, sorted);
        if optional.is_none() || !is_empty(&value) {
            out.insert(name.to_owned(), value);
        }
    }
    out.extend(rest);
    Ok(Value::Object(out))
}

/// Go's `omitempty`.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        _ => false,
    }
}

/// Go writes maps by key; ours come out of hash maps.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_dockerd_always_writes_are_null_not_missing() {
        let json = container_config_json(&ContainerConfig::default()).expect("json");
        assert!(json.get("Cmd").is_some_and(Value::is_null));
        assert!(json.get("Healthcheck").is_none());
        let json = host_config_json(&HostConfig::default()).expect("json");
        assert!(json.get("Links").is_some_and(Value::is_null));
        assert!(json.get("Mounts").is_none());
    }
}
