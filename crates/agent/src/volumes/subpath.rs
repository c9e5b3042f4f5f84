//! `volume-subpath`: a part of a volume, opened without leaving the volume and mounted by its descriptor.
//!
//! A container that has the volume may swap links at any time, so the path is walked once, in the kernel, and what was
//! found is mounted at a place of ours, which the runtime then takes. Our mount goes once the runtime has its own. The
//! place is never deleted recursively: what is mounted there is a tenant's data.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use domain::{ContainerId, Error, PlacedVolume, Result, TenantId, spec::VolumeMount};
use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    mount::{MntFlags, umount2},
};

use super::{Volumes, placed};
use crate::idmap::{self, Idmap};

/// The parts that a start mounts; gone when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Subpaths(Vec<PathBuf>);

impl Drop for Subpaths {
    fn drop(&mut self) {
        self.0.iter().for_each(|place| clear(place));
    }
}

impl Volumes {
    /// Where the `index`th mount of the container is prepared.
    pub(super) fn subpath(&self, container: &ContainerId, index: usize) -> PathBuf {
        self.subpaths.join(format!("{container}-{index}"))
    }

    /// Mounts the parts that the container asks for. `Invalid` in dockerd's words for one that is not there.
    pub(crate) fn mount_subpaths(
        &self,
        idmap: &Idmap,
        tenant: TenantId,
        container: &ContainerId,
        mounts: &[VolumeMount],
        volumes: &[PlacedVolume],
    ) -> Result<Subpaths> {
        let mut made = Subpaths::default();
        for (index, mount) in mounts.iter().enumerate().filter(|(_, m)| !m.subpath.is_empty()) {
            let root = self.seen(idmap, tenant, placed(volumes, mount)?)?;
            let place = self.subpath(container, index);
            clear(&place);
            let opened = open_below(&root, &mount.subpath).map_err(|e| missing(mount, &e))?;
            made.0.push(place.clone());
            attach(&opened, &place).map_err(|e| Error::because("a part of a volume", e))?;
        }
        Ok(made)
    }

    /// What a killed agent left.
    pub(crate) fn forget_subpaths(&self) {
        for entry in fs::read_dir(&self.subpaths).into_iter().flatten().flatten() {
            clear(&entry.path());
        }
    }
}

fn open_below(root: &Path, path: &str) -> io::Result<File> {
    let root = File::open(root)?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS | ResolveFlag::RESOLVE_NO_XDEV);
    Ok(openat2(root.as_fd(), path, how).map(File::from)?)
}

/// A directory is mounted on a directory, anything else on a file.
fn attach(opened: &File, place: &Path) -> io::Result<()> {
    let parent = place.parent().unwrap_or(place);
    fs::create_dir_all(parent)?;
    match opened.metadata()?.is_dir() {
        true => fs::create_dir(place)?,
        false => drop(File::create_new(place)?),
    }
    idmap::bind(opened, place)
}

/// Unmounts it and removes the bare place; never what was mounted.
fn clear(place: &Path) {
    let _ = umount2(place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    if fs::remove_dir(place).is_err() {
        // Still a mount: unlink(2) refuses, and the next start tries again.
        let _ = fs::remove_file(place);
    }
}

/// The path is what `volume inspect` shows, not a place on this host.
fn missing(mount: &VolumeMount, cause: &io::Error) -> Error {
    let path = format!("/var/lib/docker/volumes/{}/_data/{}", mount.name, mount.subpath);
    let why = match cause.raw_os_error() {
        Some(libc::ENOTDIR) => "not a directory",
        Some(libc::ELOOP) => "too many levels of symbolic links",
        Some(libc::EXDEV) => "invalid cross-device link",
        _ => "no such file or directory",
    };
    Error::invalid(format!("cannot access path {path}: lstat {path}: {why}"))
}
