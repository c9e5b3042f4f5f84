//! What a container changed, as a layer: the upper directory of its overlay becomes a tar, whiteouts and opaque
//! directories in the image specification's form.
//!
//! On disk the upper directory belongs to ids 0..65535 (see `idmap`), so nothing is shifted. The container may run while
//! it is read, so every step goes through descriptors of directories and follows no link: a directory that is exchanged
//! for a link to the host's files is not walked into.

mod parts;
mod placeholder;
mod signature;
mod tar;
mod walk;

use std::{io, path::PathBuf};

pub(crate) use parts::Parts;
pub use parts::Shape;
pub(crate) use signature::Signature;

use crate::containerd::Mount;

/// Where a container's own files are, and what they lie on.
pub(crate) struct Upper {
    dir: PathBuf,
    /// From the top down.
    lower: Vec<PathBuf>,
}

/// What came of reading it.
pub(crate) struct Read {
    pub(crate) empty: bool,
    pub(crate) signature: Signature,
}

impl Upper {
    /// None for mounts of another form than an overlay's or, for an image without layers, a bind's.
    pub(crate) fn of(mounts: &[Mount]) -> Option<Self> {
        let mount = mounts.first()?;
        if mount.r#type == "bind" {
            return Some(Self { dir: PathBuf::from(&mount.source), lower: Vec::new() });
        }
        let option = |name: &str| mount.options.iter().find_map(|o| o.strip_prefix(name));
        let lower = option("lowerdir=").unwrap_or_default().split(':').filter(|p| !p.is_empty());
        Some(Self { dir: PathBuf::from(option("upperdir=")?), lower: lower.map(PathBuf::from).collect() })
    }

    /// Blocks. The tar goes to `to`, its end included.
    pub(crate) fn write(&self, to: impl io::Write) -> io::Result<Read> {
        let (mut tar, mut signature) = (tar::Tar::new(to), Signature::begin());
        walk::walk(&self.dir, &self.lower, |entry| {
            signature.add(entry);
            tar.entry(entry)
        })?;
        let empty = tar.finish()?;
        Ok(Read { empty, signature })
    }

    /// Blocks. Only looks at what there is.
    pub(crate) fn sign(&self) -> io::Result<Signature> {
        let mut signature = Signature::begin();
        walk::walk(&self.dir, &self.lower, |entry| {
            signature.add(entry);
            Ok(())
        })?;
        Ok(signature)
    }
}

#[cfg(test)]
mod tests;
