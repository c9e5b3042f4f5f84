//! What is mounted in a container, in Docker's order: the system's file systems, then `/etc` files, then volumes and tmpfs.

use std::path::PathBuf;

use domain::ContainerSpec;
use oci_spec::{
    OciSpecError,
    runtime::{Mount, MountBuilder},
};

use super::Context;

/// Where the init of `--init` appears; its file name is what `/proc/1/comm` shows.
pub(super) const INIT_TARGET: &str = "/sbin/docker-init";
/// Name of the helper's file.
const INIT_HELPER: &str = "docker-init";

/// A volume (or a part of one), ready on this host.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    /// With the ids that the container must see.
    pub source: PathBuf,
    pub target: String,
    pub readonly: bool,
}

pub(super) fn build(spec: &ContainerSpec, context: &Context<'_>) -> Result<Vec<Mount>, OciSpecError> {
    let shm_size = format!("size={}", spec.shm_bytes);
    let mut all = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])?,
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"])?,
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        )?,
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"])?,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"])?,
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm_size])?,
    ];
    for file in ["resolv.conf", "hostname", "hosts"] {
        all.push(bind(&format!("/etc/{file}"), context.dir.join(file), spec.rootfs_readonly)?);
    }
    if spec.init {
        all.push(bind(INIT_TARGET, context.helpers.join(INIT_HELPER), true)?);
    }
    for volume in context.volumes {
        all.push(volume_mount(volume)?);
    }
    for tmpfs in &spec.tmpfs {
        let options: Vec<&str> = tmpfs.options.iter().map(String::as_str).collect();
        all.push(mount(&tmpfs.target, "tmpfs", "tmpfs", &options)?);
    }
    // An outer target must come before an inner one, whatever kind each is.
    all[7..].sort_by_key(|m| m.destination().components().count());
    Ok(all)
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Result<Mount, OciSpecError> {
    let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
    MountBuilder::default().destination(target).typ(kind).source(source).options(options).build()
}

fn bind(target: &str, source: PathBuf, readonly: bool) -> Result<Mount, OciSpecError> {
    let access = if readonly { "ro" } else { "rw" };
    let options = ["rbind", "rprivate", access].map(String::from).to_vec();
    MountBuilder::default().destination(target).typ("bind").source(source).options(options).build()
}

/// Without devices: a cluster file system may have some, and a tenant's archive could bring others.
fn volume_mount(volume: &Volume) -> Result<Mount, OciSpecError> {
    let access = if volume.readonly { "ro" } else { "rw" };
    let options = ["rbind", "rprivate", "nodev", access].map(String::from).to_vec();
    MountBuilder::default().destination(&volume.target).typ("bind").source(&volume.source).options(options).build()
}
