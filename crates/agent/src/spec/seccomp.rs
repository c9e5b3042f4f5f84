//! Docker's default seccomp profile: a list of what is allowed, everything else is refused with EPERM.
//!
//! The facts stand in `seccomp.json`; here are only the calls whose arguments matter. The set is fixed: no container of
//! ours has CAP_SYS_ADMIN, so the calls that Docker allows with it are in no list.

use std::{collections::BTreeMap, sync::OnceLock};

use oci_spec::{
    OciSpecError,
    runtime::{
        Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
        LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
    },
};
use serde::Deserialize;

const FACTS: &str = include_str!("seccomp.json");
/// CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}: a new namespace needs CAP_SYS_ADMIN.
const NEW_NAMESPACE_FLAGS: u64 = 0x7E02_0000;
/// Reaches the hypervisor, past every network namespace.
const AF_VSOCK: u64 = 40;

#[derive(Deserialize)]
struct Facts {
    always: Vec<String>,
    x86_64: Vec<String>,
    aarch64: Vec<String>,
    by_capability: BTreeMap<String, Vec<String>>,
    personalities: Vec<u64>,
}

/// The profile of a container with these capabilities (`CAP_SYS_CHROOT` ...).
pub(super) fn profile(capabilities: &[String]) -> Result<LinuxSeccomp, OciSpecError> {
    let facts = facts()?;
    let mut allowed = facts.always.clone();
    allowed.extend(native(facts).iter().cloned());
    let granted = facts.by_capability.iter().filter(|(name, _)| capabilities.contains(name));
    allowed.extend(granted.flat_map(|(_, calls)| calls.clone()));
    let mut rules = vec![call(allowed).build()?];
    rules.extend(by_argument(facts)?);
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(libc::EPERM.unsigned_abs())
        .architectures(architectures())
        .syscalls(rules)
        .build()
}

fn facts() -> Result<&'static Facts, OciSpecError> {
    static PARSED: OnceLock<Facts> = OnceLock::new();
    if let Some(parsed) = PARSED.get() {
        return Ok(parsed);
    }
    let parsed = serde_json::from_str(FACTS)?;
    Ok(PARSED.get_or_init(|| parsed))
}

fn call(names: Vec<String>) -> LinuxSyscallBuilder {
    LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActAllow)
}

fn by_argument(facts: &Facts) -> Result<Vec<LinuxSyscall>, OciSpecError> {
    use LinuxSeccompOperator::{ScmpCmpEq, ScmpCmpMaskedEq, ScmpCmpNe};
    let mut rules = Vec::new();
    for value in &facts.personalities {
        rules.push(call(vec!["personality".into()]).args(vec![argument(*value, None, ScmpCmpEq)?]).build()?);
    }
    rules.push(call(vec!["socket".into()]).args(vec![argument(AF_VSOCK, None, ScmpCmpNe)?]).build()?);
    let no_namespace = argument(NEW_NAMESPACE_FLAGS, Some(0), ScmpCmpMaskedEq)?;
    rules.push(call(vec!["clone".into()]).args(vec![no_namespace]).build()?);
    // Its flags are in memory, where no filter sees them: glibc falls back to clone when it reads ENOSYS.
    let clone3 = LinuxSyscallBuilder::default().names(vec!["clone3".to_owned()]);
    rules.push(clone3.action(LinuxSeccompAction::ScmpActErrno).errno_ret(libc::ENOSYS.unsigned_abs()).build()?);
    Ok(rules)
}

fn argument(value: u64, second: Option<u64>, operator: LinuxSeccompOperator) -> Result<LinuxSeccompArg, OciSpecError> {
    let built = LinuxSeccompArgBuilder::default().index(0usize).value(value).op(operator);
    match second {
        Some(second) => built.value_two(second).build(),
        None => built.build(),
    }
}

/// Docker has x32 as well, which no distribution's kernel accepts: it would cost a third of the time that runc takes to
/// compile the filter, at every start.
#[cfg(target_arch = "x86_64")]
fn architectures() -> Vec<Arch> {
    vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86]
}

#[cfg(target_arch = "aarch64")]
fn architectures() -> Vec<Arch> {
    vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]
}

fn native(facts: &Facts) -> &[String] {
    if cfg!(target_arch = "x86_64") { &facts.x86_64 } else { &facts.aarch64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dockers_profile_refuses_is_refused() {
        let profile = profile(&["CAP_SYS_CHROOT".to_owned()]).expect("profile");
        let rules = profile.syscalls().clone().expect("rules");
        let allowed = |name: &str| rules[0].names().iter().any(|n| n == name);
        for name in [
            "mount",
            "umount2",
            "unshare",
            "setns",
            "keyctl",
            "add_key",
            "bpf",
            "io_uring_setup",
            "kexec_load",
            "reboot",
        ] {
            assert!(!allowed(name), "{name}");
        }
        for name in ["read", "execve", "chroot", "ptrace", "landlock_restrict_self"] {
            assert!(allowed(name), "{name}");
        }
    }

    #[test]
    fn chroot_needs_its_capability() {
        let profile = profile(&[]).expect("profile");
        assert!(!profile.syscalls().clone().expect("rules")[0].names().iter().any(|n| n == "chroot"));
    }
}
