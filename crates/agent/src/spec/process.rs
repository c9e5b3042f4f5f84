//! The first process, and the further ones of exec.

use std::collections::HashSet;

use domain::{ContainerSpec, ExecSpec};
use oci_spec::{
    OciSpecError,
    runtime::{
        BoxBuilder, Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder, Process, ProcessBuilder,
        UserBuilder,
    },
};

use super::{limits, mounts::INIT_TARGET};
use crate::passwd::User;

/// Docker's default for an image that says nothing.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn build(spec: &ContainerSpec, user: &User) -> Result<Process, OciSpecError> {
    let asked = &spec.process;
    let mut args = asked.args.clone();
    if spec.init {
        args.splice(0..0, [INIT_TARGET.to_owned(), "--".to_owned()]);
    }
    let mut process = ProcessBuilder::default()
        .terminal(asked.tty)
        .user(oci_user(user)?)
        .args(args)
        .env(environment(&spec.hostname, asked.tty, &asked.env))
        .cwd(asked.cwd.clone())
        .capabilities(capabilities(&asked.capabilities)?)
        .rlimits(limits::rlimits(&asked.rlimits)?)
        .no_new_privileges(asked.no_new_privileges);
    if asked.console_height > 0 && asked.console_width > 0 {
        process = process.console_size(console(asked.console_height, asked.console_width)?);
    }
    // 0 is what the process has anyway, and a negative one needs CAP_SYS_RESOURCE.
    if asked.oom_score_adj > 0 {
        process = process.oom_score_adj(asked.oom_score_adj);
    }
    process.build()
}

/// A further process: the container's own with what `exec` asks for on top.
pub(crate) fn exec_process(
    own: &Process,
    exec: &ExecSpec,
    user: &User,
    size: (u16, u16),
) -> Result<Process, OciSpecError> {
    let mut process = own.clone();
    let mut env = own.env().clone().unwrap_or_default();
    if exec.tty && !env.iter().any(|e| e.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    override_with(&mut env, &exec.env);
    process
        .set_terminal(Some(exec.tty))
        .set_user(oci_user(user)?)
        .set_args(Some(exec.args.clone()))
        .set_env(Some(env))
        .set_console_size(if size.0 > 0 && size.1 > 0 { Some(console(size.0, size.1)?) } else { None });
    if !exec.cwd.is_empty() {
        process.set_cwd(exec.cwd.clone().into());
    }
    Ok(process)
}

fn console(height: u16, width: u16) -> Result<oci_spec::runtime::Box, OciSpecError> {
    BoxBuilder::default().height(u64::from(height)).width(u64::from(width)).build()
}

fn oci_user(user: &User) -> Result<oci_spec::runtime::User, OciSpecError> {
    UserBuilder::default().uid(user.uid).gid(user.gid).additional_gids(user.groups.clone()).build()
}

/// Docker's order: its own three, then the container's over them.
fn environment(hostname: &str, tty: bool, given: &[String]) -> Vec<String> {
    let mut env = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if tty {
        env.push("TERM=xterm".to_owned());
    }
    override_with(&mut env, given);
    env
}

/// A later value of a name takes the earlier one's place.
fn override_with(env: &mut Vec<String>, given: &[String]) {
    for entry in given {
        let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
        let same = |e: &String| e.split_once('=').map_or(e.as_str(), |(n, _)| n) == name;
        match env.iter().position(same) {
            Some(at) => env[at] = entry.clone(),
            None => env.push(entry.clone()),
        }
    }
}

/// Nothing is inheritable or ambient, as in Docker since 20.10.14 (CVE-2022-24769).
fn capabilities(names: &[String]) -> Result<LinuxCapabilities, OciSpecError> {
    let set: Capabilities = names.iter().filter_map(|name| capability(name)).collect();
    LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set)
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()
}

fn capability(name: &str) -> Option<Capability> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_environment_wins_and_keeps_its_place() {
        let given = ["PATH=/bin", "A=1", "HOSTNAME=other", "A=2"].map(String::from);
        assert_eq!(environment("h", true, &given), ["PATH=/bin", "HOSTNAME=other", "TERM=xterm", "A=2"]);
    }

    #[test]
    fn every_default_capability_is_known() {
        for name in
            ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_AUDIT_WRITE", "CAP_SYS_PTRACE"]
        {
            assert!(capability(name).is_some(), "{name}");
        }
    }
}
