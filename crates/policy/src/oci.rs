//! The second lock: the agent checks the final OCI spec once more, whatever made it.
//!
//! It knows nothing of the request. Whatever is not needed by a tenant's container is refused, also fields that the OCI
//! will add later: the spec's JSON may have only the keys listed here. A refusal is a defect of ours (the first lock
//! should have held), so it is an internal error, whose text goes to the operator and never to a tenant.

mod keys;
mod mounts;
mod process;

use std::path::{Component, Path, PathBuf};

use domain::{Error, Result, tenant::UID_RANGE};
use oci_spec::runtime::{
    Linux, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType as Ns, LinuxResources, LinuxSeccomp, LinuxSeccompAction,
    Spec,
};

/// What Docker hides.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What Docker makes read-only.
pub const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What holds for one tenant on one host.
#[derive(Debug, Clone)]
pub struct Rules {
    /// First host uid and gid of the tenant.
    pub uid_base: u32,
    /// Bind mounts come from below these: the container's own directory, the tenant's volumes, the helper binaries.
    pub mount_sources: Vec<PathBuf>,
    /// User and network namespaces are joined below these.
    pub namespaces: Vec<PathBuf>,
    /// The tenant's cgroup: the container's is below it.
    pub cgroup: PathBuf,
}

/// The first thing that is not allowed; see the module's text.
pub fn check(spec: &Spec, rules: &Rules) -> Result<()> {
    keys::check(spec)?;
    let root = spec.root().as_ref().ok_or_else(|| refused("root", "missing"))?;
    if has_dotdot(root.path()) || root.path() == Path::new("/") {
        return Err(refused("root.path", root.path().display()));
    }
    for mount in spec.mounts().iter().flatten() {
        mounts::check(mount, rules)?;
    }
    process::check(spec.process().as_ref().ok_or_else(|| refused("process", "missing"))?)?;
    check_linux(spec.linux().as_ref().ok_or_else(|| refused("linux", "missing"))?, rules)
}

fn check_linux(linux: &Linux, rules: &Rules) -> Result<()> {
    check_namespaces(linux.namespaces().as_deref().unwrap_or_default(), rules)?;
    for (field, mappings) in [("uidMappings", linux.uid_mappings()), ("gidMappings", linux.gid_mappings())] {
        check_mapping(field, mappings.as_deref().unwrap_or_default(), rules.uid_base)?;
    }
    if let Some(key) =
        linux.sysctl().iter().flatten().map(|(key, _)| key).find(|k| !crate::sysctls::is_allowed_in_oci(k))
    {
        return Err(refused("linux.sysctl", key));
    }
    if linux.devices().as_ref().is_some_and(|d| !d.is_empty()) {
        return Err(refused("linux.devices", "not empty"));
    }
    if linux.rootfs_propagation().as_deref().is_some_and(|p| !matches!(p, "private" | "rprivate" | "slave" | "rslave"))
    {
        return Err(refused("linux.rootfsPropagation", "shared"));
    }
    let cgroup = linux.cgroups_path().as_ref().ok_or_else(|| refused("linux.cgroupsPath", "missing"))?;
    if !is_below(cgroup, std::slice::from_ref(&rules.cgroup)) {
        return Err(refused("linux.cgroupsPath", cgroup.display()));
    }
    covers("linux.maskedPaths", linux.masked_paths().as_deref(), &MASKED_PATHS)?;
    covers("linux.readonlyPaths", linux.readonly_paths().as_deref(), &READONLY_PATHS)?;
    check_seccomp(linux.seccomp().as_ref().ok_or_else(|| refused("linux.seccomp", "missing"))?)?;
    check_resources(linux.resources().as_ref().ok_or_else(|| refused("linux.resources", "missing"))?)
}

/// All of Docker's kinds, each once; only user and network may be joined, and only the tenant's own.
fn check_namespaces(given: &[LinuxNamespace], rules: &Rules) -> Result<()> {
    for kind in [Ns::Mount, Ns::Pid, Ns::Ipc, Ns::Uts, Ns::Network, Ns::User] {
        if given.iter().filter(|n| n.typ() == kind).count() != 1 {
            return Err(refused("linux.namespaces", format!("{kind:?} must be there once")));
        }
    }
    for namespace in given {
        let joinable = matches!(namespace.typ(), Ns::User | Ns::Network);
        match namespace.path() {
            None => {}
            Some(path) if joinable && is_below(path, &rules.namespaces) => {}
            Some(path) => return Err(refused("linux.namespaces", path.display())),
        }
        if namespace.typ() == Ns::Time {
            return Err(refused("linux.namespaces", "Time"));
        }
    }
    Ok(())
}

fn check_mapping(field: &str, given: &[LinuxIdMapping], uid_base: u32) -> Result<()> {
    match given {
        [one] if (one.container_id(), one.host_id(), one.size()) == (0, uid_base, UID_RANGE) => Ok(()),
        other => Err(refused(field, format!("{other:?}"))),
    }
}

/// `/proc/interrupts` may be missing: older profiles do not hide it.
fn covers(field: &str, given: Option<&[String]>, wanted: &[&str]) -> Result<()> {
    let given = given.unwrap_or_default();
    match wanted.iter().find(|w| **w != "/proc/interrupts" && !given.iter().any(|g| g == *w)) {
        Some(missing) => Err(refused(field, format!("{missing} is missing"))),
        None => Ok(()),
    }
}

fn check_seccomp(given: &LinuxSeccomp) -> Result<()> {
    use LinuxSeccompAction as Action;
    let stops = matches!(
        given.default_action(),
        Action::ScmpActErrno | Action::ScmpActKill | Action::ScmpActKillProcess | Action::ScmpActKillThread
    );
    if !stops || given.syscalls().as_ref().is_none_or(Vec::is_empty) {
        return Err(refused("linux.seccomp", "does not filter"));
    }
    if given.listener_path().is_some() || given.listener_metadata().is_some() {
        return Err(refused("linux.seccomp", "has a listener"));
    }
    Ok(())
}

fn check_resources(given: &LinuxResources) -> Result<()> {
    let memory = given.memory().as_ref().ok_or_else(|| refused("linux.resources.memory", "missing"))?;
    if memory.limit().is_none_or(|limit| limit <= 0) || memory.disable_oom_killer() == Some(true) {
        return Err(refused("linux.resources.memory", "without limit"));
    }
    if given.pids().as_ref().is_none_or(|p| p.limit() <= 0) {
        return Err(refused("linux.resources.pids", "without limit"));
    }
    for rule in given.devices().iter().flatten().filter(|rule| rule.allow()) {
        mounts::check_device_rule(rule)?;
    }
    Ok(())
}

fn has_dotdot(path: &Path) -> bool {
    path.components().any(|c| c == Component::ParentDir)
}

/// Really below one of `roots`, by its text: absolute, without `..`.
fn is_below(path: &Path, roots: &[PathBuf]) -> bool {
    path.is_absolute() && !has_dotdot(path) && roots.iter().any(|root| path != root && path.starts_with(root))
}

fn refused(field: &str, what: impl std::fmt::Display) -> Error {
    Error::internal(format!("the OCI spec was refused: {field}: {what}"))
}

#[cfg(test)]
mod tests;
