//! The accepted description of a container: everything that its host needs, nothing that Docker's JSON merely repeats.
//!
//! Only `policy` makes one out of a tenant's request. The agent stores it in containerd's record of the container, and
//! builds the OCI runtime spec from it.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{Healthcheck, ImageRootfs, PortWish, Resources, Signal};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerSpec {
    pub image: ImageRootfs,
    pub process: ProcessSpec,
    pub hostname: String,
    pub domainname: String,
    /// stdin is connected, and (`once`) closed when the first attached client leaves.
    pub stdin_open: bool,
    pub stdin_once: bool,
    pub rootfs_readonly: bool,
    /// Put our static init in front of the command.
    pub init: bool,
    pub resources: Resources,
    /// Size of `/dev/shm`.
    pub shm_bytes: i64,
    pub tmpfs: Vec<Tmpfs>,
    pub volumes: Vec<VolumeMount>,
    pub sysctls: BTreeMap<String, String>,
    pub network: NetworkMode,
    pub dns: DnsSettings,
    pub extra_hosts: Vec<ExtraHost>,
    /// Published at each start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortWish>,
    pub log: LogSpec,
    pub stop_signal: Signal,
    /// Seconds between the stop signal and SIGKILL; -1 waits for ever.
    pub stop_timeout_s: i32,
    pub restart: RestartPolicy,
    pub auto_remove: bool,
    pub health: Option<Healthcheck>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSpec {
    /// Entrypoint and command; never empty.
    pub args: Vec<String>,
    /// `K=V`.
    pub env: Vec<String>,
    /// Absolute.
    pub cwd: String,
    /// As given (`""`, `1000`, `1000:1000`, `nobody`, `nobody:users`); names are looked up on the host, in the image.
    pub user: String,
    /// Names or numbers.
    pub group_add: Vec<String>,
    pub tty: bool,
    /// Rows and columns at the start; 0 = unknown.
    pub console_height: u16,
    pub console_width: u16,
    /// `CAP_CHOWN` ...: permitted, effective and bounding set (inside the tenant's user namespace).
    pub capabilities: Vec<String>,
    pub no_new_privileges: bool,
    pub rlimits: Vec<Rlimit>,
    pub oom_score_adj: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimit {
    /// Docker's lower-case name: `nofile`, `nproc`, `core`, ...
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tmpfs {
    pub target: String,
    /// Mount options as tmpfs takes them, already with `nosuid,nodev` and so on.
    pub options: Vec<String>,
}

/// A volume of the tenant, mounted at `target`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeMount {
    pub name: String,
    pub target: String,
    pub readonly: bool,
    /// Don't copy the image's content into an empty volume.
    pub no_copy: bool,
    pub subpath: String,
    /// Made for this container only, and removed with it by `rm -v` and auto-remove.
    pub anonymous: bool,
    /// Docker's `Mode` of `inspect`.
    #[serde(default)]
    pub mode: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// Loopback only.
    None,
    /// These networks of the tenant, by name or id as given; `bridge` is its default network.
    Tenant(Vec<NetworkWish>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkWish {
    pub network: String,
    pub aliases: Vec<String>,
    pub ipv4: Option<std::net::Ipv4Addr>,
    /// Left out where there is none: specs of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<std::net::Ipv6Addr>,
    pub mac: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsSettings {
    /// Upstream servers instead of the host's.
    pub servers: Vec<IpAddr>,
    pub search: Vec<String>,
    pub options: Vec<String>,
    /// `--link`: names that only this container knows, for containers of its networks (name or short id).
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraHost {
    pub name: String,
    pub address: IpAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    JsonFile,
    Local,
    /// Kept only for live attach; `docker logs` is refused.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSpec {
    pub driver: LogDriver,
    /// Bytes at which a file is rotated.
    pub max_size_bytes: u64,
    pub max_files: u32,
    /// Shown by `logs --details`: `K=V`, from labels and environment as the log options chose.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    No,
    Always,
    UnlessStopped,
    OnFailure {
        /// 0 = without limit.
        max_retries: u32,
    },
}
