//! P01, P04-P14: everything by which a container could leave its sandbox. All private, nothing of the host.

use std::collections::HashMap;

use docker_api::types::{HostConfigCgroupnsModeEnum as CgroupNs, HostConfigIsolationEnum as Isolation};
use domain::{Error, Result};

use crate::{
    Package,
    refuse::{forbidden, list, malformed, unsupported},
    volume,
};

/// The fields of `HostConfig` that this module decides.
pub(crate) struct Wanted {
    pub privileged: Option<bool>,
    pub masked_paths: Option<Vec<String>>,
    pub readonly_paths: Option<Vec<String>>,
    pub pid_mode: Option<String>,
    pub ipc_mode: Option<String>,
    pub uts_mode: Option<String>,
    pub userns_mode: Option<String>,
    pub cgroupns_mode: Option<CgroupNs>,
    pub cgroup: Option<String>,
    pub runtime: Option<String>,
    pub isolation: Option<Isolation>,
    pub annotations: Option<HashMap<String, String>>,
    pub volume_driver: Option<String>,
    pub container_id_file: Option<String>,
}

/// Linux's limit on a path, in bytes.
const PATH_MAX: usize = 4096;

impl Wanted {
    pub(crate) fn check(self, package: &Package) -> Result<()> {
        let Self {
            privileged,
            masked_paths,
            readonly_paths,
            pid_mode,
            ipc_mode,
            uts_mode,
            userns_mode,
            cgroupns_mode,
            cgroup,
            runtime,
            isolation,
            annotations,
            volume_driver,
            container_id_file,
        } = self;
        if privileged == Some(true) {
            return Err(forbidden("HostConfig.Privileged", true, "P01"));
        }
        // An empty list is not "nothing" here: it unmasks everything.
        for (field, paths) in [("MaskedPaths", masked_paths), ("ReadonlyPaths", readonly_paths)] {
            if let Some(paths) = paths {
                return Err(forbidden(&format!("HostConfig.{field}"), list(&paths), "P06"));
            }
        }
        private("HostConfig.PidMode", pid_mode, &["", "private"], "P07")?;
        private("HostConfig.IpcMode", ipc_mode, &["", "private", "none", "shareable"], "P08")?;
        private("HostConfig.UTSMode", uts_mode, &["", "private"], "P09")?;
        private("HostConfig.UsernsMode", userns_mode, &["", "private"], "P09")?;
        if cgroupns_mode == Some(CgroupNs::HOST) {
            return Err(forbidden("HostConfig.CgroupnsMode", "host", "P09"));
        }
        empty("HostConfig.Cgroup", cgroup, "P11")?;
        check_runtime(runtime.unwrap_or_default(), package)?;
        if let Some(other) = isolation.filter(|i| !matches!(i, Isolation::EMPTY | Isolation::DEFAULT)) {
            return Err(malformed("HostConfig.Isolation", other, "only for Windows containers", "P12"));
        }
        if let Some(key) = annotations.iter().flatten().map(|(key, _)| key).min() {
            return Err(forbidden("HostConfig.Annotations", key, "P14"));
        }
        check_driver(volume_driver.unwrap_or_default())?;
        // The stock CLI tells the daemon where it wrote the id itself; nothing of ours opens the path.
        if let Some(path) = container_id_file.filter(|p| p.len() > PATH_MAX || p.contains('\0')) {
            return Err(malformed("HostConfig.ContainerIDFile", path, "is not a path", "P25"));
        }
        Ok(())
    }
}

/// The refusal of `container:X`, where `given` is of that form. The caller has looked X up before.
pub(crate) fn shared_namespace(field: &str, given: &str) -> Option<Error> {
    match given.strip_prefix("container:") {
        Some("") => Some(malformed(field, given, "invalid container format container:<name|id>", "P07")),
        Some(_) => Some(unsupported(field, given)),
        None if given == "container" => Some(malformed(field, given, "names no container", "P07")),
        None => None,
    }
}

fn private(field: &str, given: Option<String>, legal: &[&str], rule: &str) -> Result<()> {
    let given = given.unwrap_or_default();
    if given == "host" {
        return Err(forbidden(field, given, rule));
    }
    if let Some(refusal) = shared_namespace(field, &given) {
        return Err(refusal);
    }
    if legal.contains(&given.as_str()) { Ok(()) } else { Err(malformed(field, given, "no such mode", rule)) }
}

fn empty(field: &str, given: Option<String>, rule: &str) -> Result<()> {
    match given.filter(|v| !v.is_empty()) {
        Some(value) => Err(forbidden(field, value, rule)),
        None => Ok(()),
    }
}

fn check_runtime(given: String, package: &Package) -> Result<()> {
    if given.is_empty() || given == package.runtime {
        return Ok(());
    }
    Err(forbidden("HostConfig.Runtime", given, "P12"))
}

fn check_driver(given: String) -> Result<()> {
    volume::driver(&given).map(drop).map_err(|_| forbidden("HostConfig.VolumeDriver", given, "M09"))
}
