//! A key with its certificate chain and what its holder trusts: the three files that Docker calls `DOCKER_CERT_PATH`.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use domain::{Error, Result};

/// PEM texts. `Debug` is left out, so that no key gets into a log.
#[derive(Clone)]
pub struct Bundle {
    /// What the holder trusts.
    pub ca_pem: String,
    /// The holder's certificate, then the intermediate that signed it.
    pub cert_pem: String,
    pub key_pem: String,
}

impl Bundle {
    /// Writes `ca.pem`, `cert.pem` and `key.pem`; the directory (0700) and the key (0600) are their owner's only.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let failed = |e| Error::because(format!("writing certificates to {}", dir.display()), e);
        create_private_dir(dir).map_err(failed)?;
        for (file, text, mode) in
            [("ca.pem", &self.ca_pem, 0o644), ("cert.pem", &self.cert_pem, 0o644), ("key.pem", &self.key_pem, 0o600)]
        {
            write_file(&dir.join(file), text, mode).map_err(failed)?;
        }
        Ok(())
    }
}

/// `mkdir -p` with mode 0700 for the last part, also when it was there already.
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        }
        other => other,
    }
}

/// Replaces a file as a whole: a reader sees the old or the new text, and the mode holds from the first byte.
pub(crate) fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let fresh = path.with_extension("new");
    if let Err(e) = fs::remove_file(&fresh)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
