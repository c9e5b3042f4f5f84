//! Which keys the spec's JSON may have. Everything else is refused unseen: hooks, Intel RDT, time offsets, devices to move
//! in, and whatever comes next.

use domain::{Error, Result};
use oci_spec::runtime::Spec;
use serde_json::Value;

use super::refused;

/// Path to an object, and its legal keys.
const LEGAL: &[(&str, &[&str])] = &[
    ("", &["ociVersion", "root", "mounts", "process", "hostname", "domainname", "annotations", "linux"]),
    (
        "/linux",
        &[
            "uidMappings",
            "gidMappings",
            "sysctl",
            "resources",
            "cgroupsPath",
            "namespaces",
            "devices",
            "seccomp",
            "rootfsPropagation",
            "maskedPaths",
            "readonlyPaths",
        ],
    ),
    (
        "/process",
        &[
            "terminal",
            "consoleSize",
            "user",
            "args",
            "env",
            "cwd",
            "capabilities",
            "rlimits",
            "noNewPrivileges",
            "oomScoreAdj",
        ],
    ),
    ("/linux/resources", &["devices", "memory", "cpu", "pids", "blockIO"]),
    ("/linux/resources/cpu", &["shares", "quota", "period"]),
    ("/linux/resources/memory", &["limit", "reservation", "swap", "swappiness", "disableOOMKiller"]),
    ("/linux/resources/blockIO", &["weight"]),
];

pub(super) fn check(spec: &Spec) -> Result<()> {
    let json = serde_json::to_value(spec).map_err(|e| Error::because("OCI spec as JSON", e))?;
    for (path, legal) in LEGAL {
        let Some(Value::Object(object)) = json.pointer(path) else { continue };
        if let Some((key, _)) = object.iter().find(|(key, value)| !legal.contains(&key.as_str()) && !is_nothing(value))
        {
            return Err(refused(path, key));
        }
    }
    // Annotations steer runtimes (CRIU, gVisor, Kata, CDI): only our own name space.
    let annotations = json.pointer("/annotations").and_then(Value::as_object);
    match annotations.into_iter().flatten().map(|(key, _)| key).find(|k| !k.starts_with("com.wharfinger.")) {
        Some(key) => Err(refused("annotations", key)),
        None => Ok(()),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
