//! Deletes the directories of removed volumes, when a scheduler says so and for no other reason.
//!
//! `rm` does it, as a process of its own: a tenant decides how deep and how full a volume is.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
    sync::PoisonError,
};

use domain::{Error, Result, TenantId, VolumeDriver, VolumeId};

use super::Volumes;

impl Volumes {
    /// True once nothing of it is there; false while an earlier call works on it.
    pub(crate) async fn delete(&self, tenant: TenantId, volume: VolumeId, driver: VolumeDriver) -> Result<bool> {
        let dir = self.dir(tenant, volume, driver)?;
        if !self.deleting.lock().unwrap_or_else(PoisonError::into_inner).insert(volume) {
            return Ok(false);
        }
        let deleted = tokio::task::spawn_blocking(move || remove_tree(&dir)).await;
        self.deleting.lock().unwrap_or_else(PoisonError::into_inner).remove(&volume);
        deleted.map_err(|e| Error::because("delete a volume", e))?.map_err(|e| Error::because("delete a volume", e))?;
        Ok(true)
    }
}

/// Nothing there is fine. Blocks.
pub(super) fn remove_tree(dir: &Path) -> io::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let out = Command::new("rm")
        .args(["-rf", "--one-file-system", "--"])
        .arg(dir)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()?;
    match out.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&out.stderr).chars().take(500).collect::<String>())),
    }
}
