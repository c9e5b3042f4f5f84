//! Mounts and the device rules of the cgroup.

use std::path::Path;

use domain::Result;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, Mount};

use super::{Rules, has_dotdot, is_below, refused};

/// File systems without a source of their own.
const KERNEL_TYPES: [&str; 7] = ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"];

/// Major and minor of what every container has: null, zero, full, random, urandom, tty, console, ptmx.
const DEVICES: [(i64, i64); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
/// Major of pseudo-terminals.
const PTS: i64 = 136;

pub(super) fn check(mount: &Mount, rules: &Rules) -> Result<()> {
    let destination = mount.destination();
    if !destination.is_absolute() || has_dotdot(destination) || destination == Path::new("/") {
        return Err(refused("mounts.destination", destination.display()));
    }
    let options = mount.options().as_deref().unwrap_or_default();
    if let Some(shared) = options.iter().find(|o| matches!(o.as_str(), "shared" | "rshared" | "suid" | "dev")) {
        return Err(refused("mounts.options", shared));
    }
    let has = |wanted: &str| options.iter().any(|o| o == wanted);
    let typ = mount.typ().as_deref().unwrap_or_default();
    // The runtime goes by the options: with `rbind`, any type is a bind mount.
    if typ == "bind" || has("bind") || has("rbind") {
        if !matches!(typ, "" | "none" | "bind") {
            return Err(refused("mounts.type", format!("{typ} as a bind mount")));
        }
        return match mount.source() {
            Some(source) if is_below(source, &rules.mount_sources) => Ok(()),
            source => Err(refused("mounts.source", format!("{source:?} at {}", destination.display()))),
        };
    }
    if !KERNEL_TYPES.contains(&typ) {
        return Err(refused("mounts.type", typ));
    }
    check_place(typ, destination, has("ro"))
}

/// A second /proc is not masked; /sys and the cgroups are read-only.
fn check_place(typ: &str, destination: &Path, readonly: bool) -> Result<()> {
    let legal = match typ {
        "proc" => destination == Path::new("/proc"),
        "sysfs" => destination == Path::new("/sys") && readonly,
        "cgroup" | "cgroup2" => destination.starts_with("/sys/fs/cgroup") && readonly,
        _ => !destination.starts_with("/proc") && !destination.starts_with("/sys"),
    };
    if legal { Ok(()) } else { Err(refused("mounts", format!("{typ} at {}", destination.display()))) }
}

pub(super) fn check_device_rule(rule: &LinuxDeviceCgroup) -> Result<()> {
    let is_char = rule.typ() == Some(LinuxDeviceType::C);
    let only_mknod = rule.access().as_deref() == Some("m");
    let known = match (rule.major(), rule.minor()) {
        (Some(PTS), _) => true,
        (Some(major), Some(minor)) => DEVICES.contains(&(major, minor)),
        _ => false,
    };
    // Making a node of a device that cannot be opened harms nobody (and fails in a user namespace).
    if (is_char && known) || only_mknod { Ok(()) } else { Err(refused("linux.resources.devices", format!("{rule:?}"))) }
}
