//! The volumes of a container: made and filled at create, mounted at each start, deleted when a scheduler says so.

use std::{path::Path, sync::Arc};

use domain::{Error, Result, TenantId, VolumeDriver, VolumeId};

use super::{Accepted, Container, Engine, launch::layers};
use crate::{
    containerd::{Mount, snapshots_dir},
    idmap,
    spec::Volume,
    volumes::{Copy, Subpaths, copy_up, placed},
};

impl Engine {
    /// The directories; and what the image has there, in those that are empty. `rootfs` is the container's new snapshot.
    pub(super) async fn make_volumes(&self, container: &Container, rootfs: &[Mount]) -> Result<()> {
        let Accepted { tenant, uid_base, volumes, spec, .. } = &container.accepted;
        self.volumes.ensure(&self.idmap, *tenant, *uid_base, volumes).await?;
        for driver in [VolumeDriver::Local, VolumeDriver::Shared] {
            let mut turns = Vec::new();
            let mut copies = Vec::new();
            // In one order for all containers: two that share volumes never wait for each other.
            let mut own: Vec<_> = volumes.iter().filter(|v| v.driver == driver).collect();
            own.sort_by_key(|v| v.id);
            for volume in own {
                let mut mounts = spec.volumes.iter().filter(|m| m.name == volume.name);
                let Some(mount) = mounts.find(|m| !m.no_copy && m.subpath.is_empty()) else { continue };
                turns.push(self.volumes.fill_alone(volume.id).await);
                copies.push(Copy { target: mount.target.clone(), data: self.volumes.data(*tenant, volume)? });
            }
            if !copies.is_empty() {
                self.fill_volumes(container, rootfs, driver, copies).await?;
            }
        }
        Ok(())
    }

    async fn fill_volumes(
        &self,
        container: &Container,
        rootfs: &[Mount],
        driver: VolumeDriver,
        copies: Vec<Copy>,
    ) -> Result<()> {
        let Accepted { tenant, uid_base, .. } = &container.accepted;
        let mut mounts = rootfs.to_vec();
        // Shared volumes have the tenant's ids on disk, which is how the tenant's view of the layers shows them.
        if driver == VolumeDriver::Shared {
            let snapshots = snapshots_dir(rootfs)?;
            let view = self.idmap.view(*tenant, *uid_base, "snapshots", Path::new(&snapshots)).await?;
            mounts = idmap::rewrite(rootfs, &snapshots, &view);
        }
        // Without the topmost, which is the container's own and empty.
        let image: Vec<_> = layers(&mounts).into_iter().skip(1).collect();
        let scratch = self.config.run.join("copy-up");
        let copied = tokio::task::spawn_blocking(move || copy_up(&image, &scratch, copies));
        let copied = copied.await.map_err(|e| Error::because("fill a volume", e))?;
        copied.map_err(|e| Error::because("fill a volume", e))
    }

    /// For the runtime spec.
    pub(super) fn volume_sources(&self, accepted: &Accepted) -> Result<Vec<Volume>> {
        let Accepted { tenant, id, spec, volumes, .. } = accepted;
        self.volumes.sources(&self.idmap, *tenant, id, &spec.volumes, volumes)
    }

    /// Before a start: views are gone after a reboot, parts of volumes are mounted for it alone.
    pub(super) async fn mount_volumes(&self, container: &Container) -> Result<Subpaths> {
        let Accepted { tenant, id, uid_base, spec, volumes, .. } = &container.accepted;
        self.volumes.ensure(&self.idmap, *tenant, *uid_base, volumes).await?;
        self.volumes.mount_subpaths(&self.idmap, *tenant, id, &spec.volumes, volumes)
    }

    /// True once nothing of it is there. Not while a container here has it, whatever the inventory says.
    pub async fn delete_volume(self: &Arc<Self>, tenant: TenantId, id: VolumeId, driver: VolumeDriver) -> Result<bool> {
        if self.all().iter().any(|c| c.accepted.volumes.iter().any(|v| v.id == id)) {
            return Ok(false);
        }
        self.volumes.delete(tenant, id, driver).await
    }

    /// Each volume of the container with its content as root of this host sees it: its ids are those on disk. For who
    /// works on the files of a container that does not run.
    pub fn volume_directories(
        &self,
        container: &Container,
    ) -> Result<Vec<(domain::spec::VolumeMount, std::path::PathBuf)>> {
        let accepted = &container.accepted;
        let of = |mount: &domain::spec::VolumeMount| {
            Ok((mount.clone(), self.volumes.data(accepted.tenant, placed(&accepted.volumes, mount)?)?))
        };
        accepted.spec.volumes.iter().map(of).collect()
    }
}
