//! Volumes on this host: directories below `<root>/volumes/<tenant>/<volume id>`, the content in `_data`.
//!
//! Of a local volume, ids on disk begin at 0, and containers see it through the tenant's idmapped view of all its
//! volumes. Few cluster file systems can be mapped, so a shared volume has the tenant's own ids on disk, which are the
//! same on every host. Names are a tenant's and never part of a path.

mod copy_up;
mod delete;
mod subpath;

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use domain::{ContainerId, Error, PlacedVolume, Result, TenantId, VolumeDriver, VolumeId, spec::VolumeMount};

use crate::{Config, idmap::Idmap, spec::Volume};

pub(crate) use copy_up::{Copy, copy_up};
pub(crate) use subpath::Subpaths;

/// Name of the view of a tenant's local volumes.
const VIEW: &str = "volumes";
/// What containers see of a volume's directory.
const DATA: &str = "_data";

/// Where volumes are.
#[derive(Debug)]
pub(crate) struct Volumes {
    local: PathBuf,
    /// The operator's cluster file system.
    shared: Option<PathBuf>,
    /// Mounts that last as long as a start.
    subpaths: PathBuf,
    /// Being filled: a second container waits for the first one's copy.
    filling: Mutex<HashMap<VolumeId, Weak<tokio::sync::Mutex<()>>>>,
    /// Being deleted.
    deleting: Mutex<HashSet<VolumeId>>,
}

impl Volumes {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            local: config.root.join("volumes"),
            shared: config.shared_volumes.clone(),
            subpaths: config.run.join("subpaths"),
            filling: Mutex::default(),
            deleting: Mutex::default(),
        }
    }

    /// A volume's directory, as root of this host sees it. `Unavailable` for a shared one without the file system.
    fn dir(&self, tenant: TenantId, volume: VolumeId, driver: VolumeDriver) -> Result<PathBuf> {
        let root = match driver {
            VolumeDriver::Local => &self.local,
            VolumeDriver::Shared => self.shared.as_ref().ok_or_else(no_shared)?,
        };
        Ok(root.join(tenant.to_string()).join(volume.to_string()))
    }

    /// A volume's content, as root of this host sees it.
    pub(crate) fn data(&self, tenant: TenantId, volume: &PlacedVolume) -> Result<PathBuf> {
        Ok(self.dir(tenant, volume.id, volume.driver)?.join(DATA))
    }

    /// A volume's content with the ids that the tenant's containers must see.
    fn seen(&self, idmap: &Idmap, tenant: TenantId, volume: &PlacedVolume) -> Result<PathBuf> {
        match volume.driver {
            VolumeDriver::Local => Ok(idmap.path(tenant, VIEW).join(volume.id.to_string()).join(DATA)),
            VolumeDriver::Shared => self.data(tenant, volume),
        }
    }

    /// Directory and view of each volume; what exists stays as it is.
    pub(crate) async fn ensure(
        &self,
        idmap: &Idmap,
        tenant: TenantId,
        uid_base: u32,
        volumes: &[PlacedVolume],
    ) -> Result<()> {
        if volumes.is_empty() {
            return Ok(());
        }
        let mut dirs = Vec::new();
        for volume in volumes {
            let owner = if volume.driver == VolumeDriver::Shared { uid_base } else { 0 };
            dirs.push((self.dir(tenant, volume.id, volume.driver)?, owner));
        }
        let made = tokio::task::spawn_blocking(move || dirs.iter().try_for_each(|(dir, owner)| make(dir, *owner)));
        let made = made.await.map_err(|e| Error::because("a volume's directory", e))?;
        made.map_err(|e| Error::because("a volume's directory", e))?;
        if volumes.iter().any(|v| v.driver == VolumeDriver::Local) {
            let source = self.local.join(tenant.to_string());
            idmap.view(tenant, uid_base, VIEW, &source).await?;
        }
        Ok(())
    }

    /// What the runtime mounts in the container, in the order of the spec. Pure: [`Subpaths`] are made at each start.
    pub(crate) fn sources(
        &self,
        idmap: &Idmap,
        tenant: TenantId,
        container: &ContainerId,
        mounts: &[VolumeMount],
        volumes: &[PlacedVolume],
    ) -> Result<Vec<Volume>> {
        let source = |(index, mount): (usize, &VolumeMount)| {
            let source = match mount.subpath.as_str() {
                "" => self.seen(idmap, tenant, placed(volumes, mount)?)?,
                _ => self.subpath(container, index),
            };
            Ok(Volume { source, target: mount.target.clone(), readonly: mount.readonly })
        };
        mounts.iter().enumerate().map(source).collect()
    }

    /// Held while a volume gets its first content.
    pub(crate) async fn fill_alone(&self, volume: VolumeId) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
            filling.retain(|_, turn| turn.strong_count() > 0);
            let known = filling.get(&volume).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::new(tokio::sync::Mutex::new(()));
                filling.insert(volume, Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}

/// The volume that a mount names.
pub(crate) fn placed<'a>(volumes: &'a [PlacedVolume], mount: &VolumeMount) -> Result<&'a PlacedVolume> {
    let found = volumes.iter().find(|v| v.name == mount.name);
    found.ok_or_else(|| Error::internal(format!("no place was given for the volume at {}", mount.target)))
}

/// The tenant's and the volume's directories are root's alone: containers get `_data` by a mount.
fn make(dir: &Path, owner: u32) -> io::Result<()> {
    let data = dir.join(DATA);
    if data.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    match fs::create_dir(&data) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755))?;
    chown(&data, Some(owner), Some(owner))
}

fn no_shared() -> Error {
    Error::unavailable("this host has no volumes of the driver shared")
}
