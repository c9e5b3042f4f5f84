//! `stat PATH`: what Docker wants to know of a path before it copies.
//!
//! Output: one line `size mode mtime_s mtime_ns` in decimal (mode as in `st_mode`), then, for a symbolic link, the bytes
//! of its target as an absolute path in the container, without a newline. Names may be any bytes, so this is no JSON.

use std::{
    fs,
    io::{self, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// The last component is not followed, unless the path ends in `/` or `/.`.
pub(crate) fn print(path: &Path, out: &mut impl Write) -> io::Result<()> {
    let absolute = Path::new("/").join(path);
    let followed = matches!(path.as_os_str().as_bytes(), [.., b'/'] | [.., b'/', b'.'] | [] | b".");
    let place = if followed { fs::canonicalize(&absolute)? } else { real_parent(&absolute)? };
    let data = fs::symlink_metadata(&place)?;
    writeln!(out, "{} {} {} {}", data.size(), data.mode(), data.mtime(), data.mtime_nsec())?;
    if data.is_symlink() {
        out.write_all(target(&place)?.as_os_str().as_bytes())?;
    }
    out.flush()
}

fn real_parent(path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(fs::canonicalize(parent)?.join(name)),
        _ => fs::canonicalize(path),
    }
}

/// Fully resolved; of a dangling link as far as the link itself says.
fn target(link: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(link) {
        Ok(target) => Ok(target),
        Err(_) => Ok(link.parent().unwrap_or(Path::new("/")).join(fs::read_link(link)?)),
    }
}
