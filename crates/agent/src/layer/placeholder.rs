//! What the container runtime makes in a container's upper directory to mount something there. dockerd has these in a
//! layer of their own, so they are part of no diff; here they are told by their place and by being empty.
//!
//! A container cannot touch them: while it runs, something is mounted over each.

use std::{
    ffi::CStr,
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, openat},
    sys::stat::{FileStat, Mode, SFlag},
};

use super::walk::{kind, names, stat_of};

/// Directories that may hold nothing else.
const DIRS: [&[u8]; 5] = [b"dev", b"etc", b"proc", b"sbin", b"sys"];
const FILES: [&[u8]; 4] = [b"etc/hostname", b"etc/hosts", b"etc/resolv.conf", b"sbin/docker-init"];

pub(super) struct Placeholders<'a> {
    lower: &'a [PathBuf],
}

impl<'a> Placeholders<'a> {
    /// `lower`: the image's directories, from the top down.
    pub(super) fn over(lower: &'a [PathBuf]) -> Self {
        Self { lower }
    }

    pub(super) fn holds(&self, parent: BorrowedFd<'_>, name: &CStr, path: &[u8], stat: &FileStat) -> bool {
        match kind(stat) {
            SFlag::S_IFREG => is_empty_file(path, stat),
            SFlag::S_IFDIR if DIRS.contains(&path) => {
                self.is_as_below(name, stat) && holds_nothing_else(parent, name, path).unwrap_or(false)
            }
            _ => false,
        }
    }

    /// The image has the directory with the same owner and mode, or not at all: nobody but the runtime touched it.
    fn is_as_below(&self, name: &CStr, stat: &FileStat) -> bool {
        let below = self.lower.iter().find_map(|dir| lstat(dir, name));
        below.is_none_or(|b| (b.st_mode, b.st_uid, b.st_gid) == (stat.st_mode, stat.st_uid, stat.st_gid))
    }
}

fn is_empty_file(path: &[u8], stat: &FileStat) -> bool {
    stat.st_size == 0 && stat.st_nlink == 1 && FILES.contains(&path)
}

fn holds_nothing_else(parent: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> io::Result<bool> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let dir = openat(parent, name, flags, Mode::empty())?;
    for name in names(&dir)? {
        let path = [path, b"/", name.to_bytes()].concat();
        let stat = stat_of(std::os::fd::AsFd::as_fd(&dir), &name)?;
        if !stat.is_some_and(|stat| kind(&stat) == SFlag::S_IFREG && is_empty_file(&path, &stat)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lstat(dir: &Path, name: &CStr) -> Option<FileStat> {
    use std::os::unix::ffi::OsStrExt as _;
    nix::sys::stat::lstat(&dir.join(std::ffi::OsStr::from_bytes(name.to_bytes()))).ok()
}
