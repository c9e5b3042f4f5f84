//! The section `[agent]` of the configuration file.
//!
//! One machine may simulate several hosts, so nothing here has a machine-wide default: two agents share neither a
//! directory nor a cgroup.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use domain::HostId;
use rpc::TlsFiles;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub host_id: HostId,
    /// For operators; tenants never see it.
    pub name: String,
    pub listen: SocketAddr,
    /// `https://address:port`, where frontends reach this agent.
    pub advertise: String,
    /// containerd's gRPC socket.
    pub containerd: PathBuf,
    /// Survives a reboot: containers' files and logs, volumes.
    pub root: PathBuf,
    /// Does not survive a reboot: namespaces, mounts, sockets.
    pub run: PathBuf,
    /// `https://address:port`; the first that answers is used.
    pub schedulers: Vec<String>,
    /// `https://address:port` of the frontends' internal listeners, which hand out blobs.
    pub frontends: Vec<String>,
    pub tls: TlsFiles,
    /// Absolute, unique on the machine; containers are at `<cgroup_parent>/<tenant>/<id>`.
    pub cgroup_parent: String,
    /// Directory of `wharfinger-logger`, `wharfinger-enter` and `docker-init`.
    pub helpers: PathBuf,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Thousandths of a CPU for containers; all of the machine's when absent.
    #[serde(default)]
    pub cpu_millis: Option<i64>,
    /// Bytes for containers; all of the machine's when absent.
    #[serde(default)]
    pub memory_bytes: Option<i64>,
    /// Where DNS questions that are not about containers go.
    #[serde(default)]
    pub dns_upstream: Vec<SocketAddr>,
    pub underlay_interface: String,
    /// Unpacked layers that nothing on this host has used for so long are removed.
    #[serde(default = "default_layers_idle_s")]
    pub layers_idle_s: u64,
    /// Those that were used within this stay, however full the disk.
    #[serde(default = "default_layers_idle_least_s")]
    pub layers_idle_least_s: u64,
    /// Percent of the disk that containerd is on: above `high`, unused layers go until it is below `low`.
    #[serde(default = "default_layers_disk_high_percent")]
    pub layers_disk_high_percent: u8,
    #[serde(default = "default_layers_disk_low_percent")]
    pub layers_disk_low_percent: u8,
    /// A directory of a cluster file system that is mounted on every host of this kind: volumes of the driver `shared`.
    #[serde(default)]
    pub shared_volumes: Option<PathBuf>,
    #[serde(default)]
    pub ready_file: Option<PathBuf>,
}

fn default_layers_idle_s() -> u64 {
    7 * 24 * 3600
}

fn default_layers_idle_least_s() -> u64 {
    600
}

fn default_layers_disk_high_percent() -> u8 {
    85
}

fn default_layers_disk_low_percent() -> u8 {
    75
}

impl Config {
    /// The directory that keeps `hosts`, `hostname`, `resolv.conf` and the log of a container.
    pub fn container_dir(&self, id: &str) -> PathBuf {
        self.root.join("containers").join(id)
    }

    /// Sockets and FIFOs of a container.
    pub fn container_run_dir(&self, id: &str) -> PathBuf {
        self.run.join("c").join(id)
    }

    /// The executable or static binary `name` among the helpers.
    pub fn helper(&self, name: &str) -> PathBuf {
        self.helpers.join(name)
    }

    /// Directories that must exist before anything else.
    pub fn directories(&self) -> [&Path; 2] {
        [&self.root, &self.run]
    }
}
