//! `POST /containers/create`: the body becomes a [`ContainerSpec`].

mod identity;
mod program;

use docker_api::types::{ContainerConfig, ContainerCreateBody};
use domain::{ContainerSpec, Error, Result, Signal, spec::ProcessSpec};

use program::Program;

use crate::{
    Accepted, CreateContext, capabilities, env,
    host_config::{self, Shown},
    labels, log, merge, mounts, network, placement, ports,
    resources::Limits,
    restart, security_opt, ulimits, user, volume,
};

/// Docker's own default, seconds.
const STOP_TIMEOUT_S: i32 = 10;
const STOP_TIMEOUT_MAX_S: i64 = 600;

/// Checks the whole request and the image's config with it. The first refusal wins; nothing is done before all is checked.
pub fn create(ctx: &CreateContext<'_>, body: ContainerCreateBody) -> Result<Accepted> {
    let ContainerCreateBody {
        hostname,
        domainname,
        user,
        attach_stdin,
        attach_stdout,
        attach_stderr,
        exposed_ports,
        tty,
        open_stdin,
        stdin_once,
        env: given_env,
        cmd,
        healthcheck,
        args_escaped,
        image: reference,
        volumes,
        working_dir,
        entrypoint,
        network_disabled,
        mac_address,
        on_build,
        labels: given_labels,
        stop_signal,
        stop_timeout,
        shell,
        host_config,
        networking_config,
    } = body;
    let image = &ctx.image.config;
    let mut warnings = Vec::new();
    let parts = host_config::take(host_config.unwrap_or_default(), ctx.package)?;

    // The program, and the wishes that travel in its environment and labels.
    let sorted = env::sort(given_env.unwrap_or_default())?;
    let wanted = program::Wanted { env: sorted.env, cmd, entrypoint, shell, healthcheck };
    let Program { args, env, command, shell, healthcheck, health } = program::resolve(wanted, image)?;
    let given_labels = given_labels.unwrap_or_default();
    let from_labels = placement::Labels::of(&given_labels);
    let mut labels = labels::merge(given_labels, image.labels.as_ref(), &mut warnings)?;
    let (constraints, affinities) = from_labels.with_env(sorted.constraints, sorted.affinities, &mut labels)?;

    // Who and where it is.
    let hostname = identity::hostname(hostname, ctx.id.short())?;
    let domainname = identity::domainname(domainname)?;
    let user = merge::text(user, image.user.as_ref());
    user::user("User", &user)?;
    user::groups(parts.group_add.as_deref().unwrap_or_default())?;
    let working_dir = identity::working_dir(merge::text(working_dir, image.working_dir.as_ref()))?;
    let tty = tty.unwrap_or(false);

    // What it gets.
    let limits = Limits { at: "HostConfig.", package: ctx.package, current: None };
    let resources = limits.resolve(&parts.resources, &mut warnings)?;
    let shm_bytes = shm(parts.shm_size, ctx.package.shm_bytes, resources.memory_bytes, &mut warnings)?;
    let volumes = merge::set(volumes, image.volumes.as_ref());
    let mounts = mounts::resolve(
        ctx,
        &mounts::Wanted {
            binds: parts.binds.as_deref().unwrap_or_default(),
            mounts: parts.mounts.as_deref().unwrap_or_default(),
            tmpfs: &parts.tmpfs.clone().unwrap_or_default(),
            volumes_from: parts.volumes_from.as_deref().unwrap_or_default(),
            volumes: volumes.as_deref().unwrap_or_default(),
            driver: volume::driver(&parts.volume_driver)?,
            memory_bytes: resources.memory_bytes,
        },
        &mut warnings,
    )?;
    let joined = network::resolve(network::Wanted {
        mode: parts.network_mode.clone(),
        disabled: network_disabled.unwrap_or(false),
        networking: networking_config,
        mac_address,
    })?;
    let exposed_ports = ports::exposed(merge::set(exposed_ports, image.exposed_ports.as_ref()))?;
    let published = ports::published(
        &parts.port_bindings,
        exposed_ports.as_deref().unwrap_or_default(),
        parts.publish_all_ports,
        &labels,
        ctx.reserved_ports,
    )?;
    let mut sysctls = joined.sysctls;
    sysctls.extend(parts.sysctls.clone());
    let source = log::Source { id: ctx.id.as_str(), name: ctx.name.as_str(), labels: &labels, env: &env };
    let log = log::resolve(parts.log_config.clone(), ctx.default_log, &source, &mut warnings)?;

    // How it ends.
    let stop_signal = merge::text(stop_signal, image.stop_signal.as_ref());
    let signal = if stop_signal.is_empty() { Signal::TERM } else { stop_signal.parse()? };
    let restart = restart::with_auto_remove(restart::resolve(parts.restart_policy.as_ref())?, parts.auto_remove)?;

    let spec = ContainerSpec {
        image: ctx.image.image.clone(),
        process: ProcessSpec {
            args,
            env: env::of_process(&env, &hostname, tty),
            cwd: if working_dir.is_empty() { "/".to_owned() } else { working_dir.clone() },
            user: user.clone(),
            group_add: parts.group_add.clone().unwrap_or_default(),
            tty,
            console_height: parts.console_size.0,
            console_width: parts.console_size.1,
            capabilities: capabilities::resolve(
                parts.cap_add.as_deref().unwrap_or_default(),
                parts.cap_drop.as_deref().unwrap_or_default(),
                ctx.package,
            )?,
            no_new_privileges: security_opt::no_new_privileges(parts.security_opt.as_deref().unwrap_or_default())?,
            rlimits: ulimits::all(&parts.ulimits, ctx.package, &mut warnings)?,
            oom_score_adj: parts.oom_score_adj,
        },
        hostname: hostname.clone(),
        domainname: domainname.clone(),
        stdin_open: open_stdin.unwrap_or(false),
        stdin_once: stdin_once.unwrap_or(false),
        rootfs_readonly: parts.readonly_rootfs,
        init: parts.init.unwrap_or(false),
        resources,
        shm_bytes,
        tmpfs: mounts.tmpfs,
        volumes: mounts.volumes,
        sysctls,
        network: joined.mode,
        dns: network::dns_settings(
            &parts.dns,
            &parts.dns_search,
            &parts.dns_options,
            parts.links.as_deref().unwrap_or_default(),
        )?,
        extra_hosts: network::extra_hosts(parts.extra_hosts.as_deref().unwrap_or_default())?,
        ports: published,
        log,
        stop_signal: signal,
        stop_timeout_s: stop_after(stop_timeout, &mut warnings),
        restart,
        auto_remove: parts.auto_remove,
        health,
    };
    let config = ContainerConfig {
        hostname: Some(hostname),
        domainname: Some(domainname),
        user: Some(user),
        attach_stdin: Some(attach_stdin.unwrap_or(false)),
        attach_stdout: Some(attach_stdout.unwrap_or(false)),
        attach_stderr: Some(attach_stderr.unwrap_or(false)),
        exposed_ports,
        tty: Some(tty),
        open_stdin: Some(spec.stdin_open),
        stdin_once: Some(spec.stdin_once),
        env: Some(env).filter(|e| !e.is_empty()),
        cmd: command.cmd,
        healthcheck,
        args_escaped,
        image: reference,
        volumes,
        working_dir: Some(working_dir),
        entrypoint: command.entrypoint,
        network_disabled,
        on_build,
        labels: Some(labels.clone().into_iter().collect()),
        stop_signal: Some(stop_signal),
        stop_timeout,
        shell,
    };
    let command = merge::command_text(&spec.process.args);
    let shown = Shown { spec: &spec, package: ctx.package, network_mode: joined.shown.clone() };
    let host_config = shown.of(parts);
    Ok(Accepted {
        spec,
        volumes: mounts.wanted,
        config,
        host_config,
        labels,
        constraints,
        affinities,
        warnings,
        command,
        network_mode: joined.shown,
    })
}

/// R08: `/dev/shm` counts as memory of the container; more than half of it would starve the rest.
fn shm(given: i64, default: i64, memory_bytes: i64, warnings: &mut Vec<String>) -> Result<i64> {
    if given < 0 {
        return Err(Error::invalid("SHM size can not be less than 0"));
    }
    let max = memory_bytes / 2;
    if given > max {
        warnings.push(format!("HostConfig.ShmSize={given} was lowered to {max}, half of the memory (policy R08)"));
    }
    Ok(if given == 0 { default } else { given }.min(max))
}

/// P23.
fn stop_after(given: Option<i64>, warnings: &mut Vec<String>) -> i32 {
    let Some(asked) = given else { return STOP_TIMEOUT_S };
    if (0..=STOP_TIMEOUT_MAX_S).contains(&asked) {
        return i32::try_from(asked).unwrap_or(STOP_TIMEOUT_S);
    }
    warnings.push(format!("StopTimeout={asked} was set to {STOP_TIMEOUT_MAX_S} (policy P23)"));
    i32::try_from(STOP_TIMEOUT_MAX_S).unwrap_or(STOP_TIMEOUT_S)
}

#[cfg(test)]
pub(crate) mod tests;
