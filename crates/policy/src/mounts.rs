//! M01-M09, R08: everything that is mounted into a container. Sources are volumes of the tenant; the host has no paths.

mod bind;
mod mount;

use std::collections::{BTreeMap, HashMap};

use docker_api::types::Mount;
use domain::{
    Digest, Error, NewVolume, Result, VolumeDriver,
    spec::{Tmpfs, VolumeMount},
};

use crate::{
    CreateContext,
    names::{clean_path, is_in},
    refuse::{malformed, unsupported},
    tmpfs,
};

const MOUNTS_MAX: usize = 32;

/// As the request has them.
pub(crate) struct Wanted<'a> {
    pub binds: &'a [String],
    pub mounts: &'a [Mount],
    pub tmpfs: &'a HashMap<String, String>,
    pub volumes_from: &'a [String],
    /// Of request and image: anonymous where nothing else is mounted there.
    pub volumes: &'a [String],
    /// M09: of volumes for which nothing else is said.
    pub driver: Option<VolumeDriver>,
    pub memory_bytes: i64,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mounts {
    pub volumes: Vec<VolumeMount>,
    pub tmpfs: Vec<Tmpfs>,
    /// Each of `volumes` once, as it is to be made if there is none of that name.
    pub wanted: Vec<NewVolume>,
}

pub(crate) fn resolve(ctx: &CreateContext<'_>, wanted: &Wanted<'_>, warnings: &mut Vec<String>) -> Result<Mounts> {
    let mut all = Mounts::default();
    for bind in wanted.binds {
        let volume = bind::parse(bind)?;
        let wanted = NewVolume { driver: wanted.driver, ..NewVolume::named(&volume.name) };
        all.volume(volume, wanted)?;
    }
    for given in wanted.mounts {
        mount::resolve(ctx, given, wanted.memory_bytes, &mut all, warnings)?;
    }
    for (target, options) in wanted.tmpfs.iter().collect::<BTreeMap<_, _>>() {
        let one = tmpfs::from_options("HostConfig.Tmpfs", target, options, ctx.package, wanted.memory_bytes, warnings)?;
        all.tmpfs(one)?;
    }
    for from in wanted.volumes_from {
        all.inherit(ctx.volumes_from, from)?;
    }
    for path in wanted.volumes {
        all.anonymous(ctx, path, wanted.driver)?;
    }
    if all.volumes.len() + all.tmpfs.len() > MOUNTS_MAX {
        return Err(Error::invalid(format!("more than {MOUNTS_MAX} mounts (policy M07)")));
    }
    Ok(all)
}

impl Mounts {
    fn has(&self, target: &str) -> bool {
        self.volumes.iter().any(|v| v.target == target) || self.tmpfs.iter().any(|t| t.target == target)
    }

    fn once(&self, target: &str) -> Result<()> {
        if self.has(target) { Err(Error::invalid(format!("Duplicate mount point: {target}"))) } else { Ok(()) }
    }

    fn volume(&mut self, volume: VolumeMount, wanted: NewVolume) -> Result<()> {
        self.once(&volume.target)?;
        self.mount(volume, wanted);
        Ok(())
    }

    /// Of a volume that is mounted twice, what is said first counts.
    fn mount(&mut self, volume: VolumeMount, wanted: NewVolume) {
        if self.wanted.iter().all(|w| w.name != wanted.name) {
            self.wanted.push(wanted);
        }
        self.volumes.push(volume);
    }

    fn tmpfs(&mut self, one: Tmpfs) -> Result<()> {
        self.once(&one.target)?;
        self.tmpfs.push(one);
        Ok(())
    }

    /// M08: `container`, `container:ro`, `container:rw`. What the request mounts itself wins.
    fn inherit(&mut self, known: &BTreeMap<String, Vec<VolumeMount>>, from: &str) -> Result<()> {
        let (name, mode) = from.split_once(':').unwrap_or((from, "rw"));
        if name.is_empty() || !matches!(mode, "ro" | "rw") {
            return Err(malformed("HostConfig.VolumesFrom", from, "must be a container, with :ro or :rw", "M08"));
        }
        // The caller resolves these beforehand; without that it is not offered.
        let volumes = known.get(name).ok_or_else(|| unsupported("HostConfig.VolumesFrom", from))?;
        for volume in volumes.iter().filter(|v| !self.has(&v.target)).collect::<Vec<_>>() {
            let readonly = volume.readonly || mode == "ro";
            // It has its content from the other container; dockerd shows no mode.
            let inherited =
                VolumeMount { readonly, anonymous: false, no_copy: true, mode: String::new(), ..volume.clone() };
            self.mount(inherited, NewVolume::named(&volume.name));
        }
        Ok(())
    }

    fn anonymous(&mut self, ctx: &CreateContext<'_>, path: &str, driver: Option<VolumeDriver>) -> Result<()> {
        let target = target("Volumes", path)?;
        if !self.has(&target) {
            let volume = anonymous(ctx, target);
            let wanted = NewVolume { driver, ..NewVolume::anonymous(&volume.name) };
            self.mount(volume, wanted);
        }
        Ok(())
    }
}

/// Named by the container's random id and the place: as hard to guess as the id, and the same when asked twice.
fn anonymous(ctx: &CreateContext<'_>, target: String) -> VolumeMount {
    let name = Digest::of(format!("{}:{target}", ctx.id).as_bytes()).hex().to_owned();
    let (readonly, no_copy, subpath, mode) = (false, false, String::new(), String::new());
    VolumeMount { name, target, readonly, no_copy, subpath, anonymous: true, mode }
}

/// M07: an absolute path without `..`, not the root, not in a file system of the kernel.
fn target(field: &str, given: &str) -> Result<String> {
    if !given.starts_with('/') {
        return Err(Error::invalid(format!(
            "invalid mount path: '{}' mount path must be absolute",
            given.escape_debug()
        )));
    }
    match clean_path(given) {
        None => Err(malformed(field, given, "not a legal mount path", "M07")),
        Some(path) if path == "/" => Err(Error::invalid("invalid specification: destination can't be '/'")),
        Some(path) if is_in(&path, &["/proc", "/sys", "/dev"]) => {
            Err(malformed(field, given, "nothing can be mounted there", "M07"))
        }
        Some(path) => Ok(path),
    }
}

#[cfg(test)]
mod tests;
