//! `domain::ContainerSpec` to the OCI runtime spec.
//!
//! Everything is Docker's default (capabilities, seccomp, masked paths, mounts), inside the tenant's user namespace and
//! the sandbox's network namespace. `policy::oci::check` looks at the result again before runc sees it.

mod devices;
pub(crate) mod files;
mod limits;
mod mounts;
mod process;
mod seccomp;

use std::{collections::HashMap, path::Path};

use domain::{ContainerSpec, Error, Result, TenantId, tenant::UID_RANGE};
use oci_spec::{
    OciSpecError,
    runtime::{
        Linux, LinuxBuilder, LinuxIdMappingBuilder, LinuxNamespaceBuilder, LinuxNamespaceType, RootBuilder, Spec,
        SpecBuilder,
    },
};

pub(crate) use mounts::Volume;
pub(crate) use process::exec_process;

use policy::oci::{MASKED_PATHS, READONLY_PATHS, Rules};

use crate::passwd::User;

/// What runc 1.1 writes itself.
const OCI_VERSION: &str = "1.0.2";

/// What the spec needs besides the accepted one.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub tenant: TenantId,
    pub id: &'a str,
    pub uid_base: u32,
    pub user: &'a User,
    pub user_ns: &'a Path,
    pub net_ns: &'a Path,
    /// Has `hosts`, `hostname` and `resolv.conf`.
    pub dir: &'a Path,
    pub cgroup_parent: &'a str,
    pub helpers: &'a Path,
    pub volumes: &'a [Volume],
}

impl Context<'_> {
    /// What the second lock holds this container to.
    fn rules(&self) -> Rules {
        let parents = [self.user_ns, self.net_ns].into_iter().filter_map(Path::parent);
        let volumes = self.volumes.iter().filter_map(|v| v.source.parent());
        let sources = [self.dir, self.helpers].into_iter().chain(volumes);
        Rules {
            uid_base: self.uid_base,
            mount_sources: sources.map(Path::to_owned).collect(),
            namespaces: parents.map(Path::to_owned).collect(),
            cgroup: format!("{}/{}", self.cgroup_parent.trim_end_matches('/'), self.tenant).into(),
        }
    }
}

/// The whole spec, checked.
///
/// # Errors
/// `Forbidden` when the second lock does not hold (a defect of ours); `Internal`.
pub(crate) fn build(spec: &ContainerSpec, context: &Context<'_>) -> Result<Spec> {
    let built = assemble(spec, context).map_err(|e| Error::because("runtime spec", e))?;
    policy::oci::check(&built, &context.rules())?;
    Ok(built)
}

/// New limits for a running container.
pub(crate) fn live_limits(resources: &domain::Resources) -> Result<oci_spec::runtime::LinuxResources> {
    limits::live(resources).map_err(|e| Error::because("limits", e))
}

fn assemble(spec: &ContainerSpec, context: &Context<'_>) -> Result<Spec, OciSpecError> {
    let root = RootBuilder::default().path("rootfs").readonly(spec.rootfs_readonly).build()?;
    SpecBuilder::default()
        .version(OCI_VERSION)
        .hostname(spec.hostname.clone())
        .root(root)
        .process(process::build(spec, context.user)?)
        .mounts(mounts::build(spec, context)?)
        .linux(linux(spec, context)?)
        .annotations(HashMap::new())
        .build()
}

fn linux(spec: &ContainerSpec, context: &Context<'_>) -> Result<Linux, OciSpecError> {
    let map =
        vec![LinuxIdMappingBuilder::default().container_id(0u32).host_id(context.uid_base).size(UID_RANGE).build()?];
    LinuxBuilder::default()
        .namespaces(namespaces(context)?)
        // runc wants the maps even where it joins an existing user namespace.
        .uid_mappings(map.clone())
        .gid_mappings(map)
        .cgroups_path(cgroup_path(context.cgroup_parent, context.tenant, context.id))
        .resources(limits::build(&spec.resources)?)
        .devices(devices::none())
        .seccomp(seccomp::profile(&spec.process.capabilities)?)
        .sysctl(own_sysctls(spec))
        .masked_paths(MASKED_PATHS.map(String::from).to_vec())
        .readonly_paths(READONLY_PATHS.map(String::from).to_vec())
        .build()
}

fn namespaces(context: &Context<'_>) -> Result<Vec<oci_spec::runtime::LinuxNamespace>, OciSpecError> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};
    let mut all = Vec::new();
    for kind in [Pid, Ipc, Uts, Mount, Cgroup] {
        all.push(LinuxNamespaceBuilder::default().typ(kind).build()?);
    }
    for (kind, path) in [(User, context.user_ns), (Network, context.net_ns)] {
        all.push(LinuxNamespaceBuilder::default().typ(kind).path(path).build()?);
    }
    Ok(all)
}

/// Those of the network namespace are set by whoever makes it.
fn own_sysctls(spec: &ContainerSpec) -> HashMap<String, String> {
    spec.sysctls.iter().filter(|(key, _)| !key.starts_with("net.")).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Absolute, as runc's cgroupfs driver takes it.
pub(crate) fn cgroup_path(parent: &str, tenant: TenantId, id: &str) -> String {
    format!("{}/{tenant}/{id}", parent.trim_end_matches('/'))
}
