//! A private containerd for each host, inside the host's network namespace.
//!
//! It may die and come back without a container noticing: the shims are not its children any more.

use std::path::Path;

use domain::{Error, Result};
use nix::sys::signal::Signal;
use tokio::process::Command;

use crate::{
    layout::{Layout, create_dir},
    site::write_private,
    spawn,
    supervise::{Probe, Process},
    underlay,
};

/// Writes the configuration of `host`'s containerd and says how to run it.
pub(crate) fn process(layout: &Layout, host: &str) -> Result<Process> {
    create_dir(&layout.host_data(host), 0o711)?;
    create_dir(&layout.host_run(host), 0o711)?;
    let config = layout.config(&format!("containerd-{host}.toml"));
    write_private(&config, &text(layout, host))?;
    let netns = underlay::netns_path(layout, host);
    let name = format!("containerd-{host}");
    Ok(Process {
        log: layout.log(&name),
        ready_file: layout.ready_file(&name),
        name,
        probe: Probe::Socket(layout.containerd_socket(host)),
        stop_signal: Signal::SIGTERM,
        command: Box::new(move || command(&config, &netns)),
    })
}

fn command(config: &Path, netns: &Path) -> Result<Command> {
    let mut command = Command::new("containerd");
    command.arg("--config").arg(config);
    spawn::enter_netns(&mut command, netns).map_err(|e| Error::because(format!("{}", netns.display()), e))?;
    spawn::die_with_parent(&mut command, Signal::SIGKILL);
    Ok(command)
}

fn text(layout: &Layout, host: &str) -> String {
    let (root, state) = (layout.host_data(host).join("containerd"), layout.host_run(host).join("containerd"));
    let (root, state, socket) = (root.display(), state.display(), layout.containerd_socket(host));
    let socket = socket.display();
    format!(
        r#"# containerd of host {host}. Nothing but the agent speaks to it.
version = 2
root = "{root}"
state = "{state}"
# A negative one needs CAP_SYS_RESOURCE, which root does not have everywhere.
oom_score = 0
# No Kubernetes; no snapshotter but overlayfs; `opt` would make /opt/containerd.
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.native",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{socket}"

[metrics]
address = ""

[debug]
level = "warn"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_and_keeps_hosts_apart() {
        let layout = Layout::new(Path::new("/var/lib/wharfinger")).unwrap();
        let of = |host| toml::from_str::<toml::Table>(&text(&layout, host)).unwrap();
        let (one, two) = (of("h1"), of("h2"));
        assert!(["root", "state", "grpc"].iter().all(|key| one[*key] != two[*key]));
    }
}
