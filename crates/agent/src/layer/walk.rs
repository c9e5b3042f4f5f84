//! Walks a directory tree in the order of names, parents first, by descriptors alone.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::{
    dir::Dir,
    fcntl::{AtFlags, OFlag, openat},
    sys::stat::{FileStat, Mode, SFlag, fstatat},
};

use super::placeholder::Placeholders;

/// Linux takes no longer path, so no host could unpack one.
const PATH_MAX_BYTES: usize = 4096;
/// Each level costs a descriptor.
const DEPTH_MAX: usize = 512;

/// Something in the tree; valid during the visit.
pub(super) struct Entry<'a> {
    /// Relative to the root of the tree.
    pub(super) path: &'a [u8],
    pub(super) stat: &'a FileStat,
    parent: BorrowedFd<'a>,
    name: &'a CStr,
}

impl Entry<'_> {
    pub(super) fn kind(&self) -> SFlag {
        kind(self.stat)
    }

    /// For reading, and what it is by now: another file may have taken the name. None: no file has it any more.
    pub(super) fn open(&self) -> io::Result<Option<(OwnedFd, FileStat)>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let fd = match openat(self.parent, self.name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(nix::Error::ENOENT | nix::Error::ELOOP | nix::Error::ENXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = nix::sys::stat::fstat(&fd)?;
        Ok((kind(&stat) == SFlag::S_IFREG).then_some((fd, stat)))
    }

    /// None: it is no link any more.
    pub(super) fn link_target(&self) -> io::Result<Option<Vec<u8>>> {
        use std::os::unix::ffi::OsStringExt as _;
        match nix::fcntl::readlinkat(self.parent, self.name) {
            Ok(target) => Ok(Some(target.into_vec())),
            Err(nix::Error::ENOENT | nix::Error::EINVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A path for the `l*` calls that know no descriptors: the kernel goes straight to the parent, and follows no further.
    pub(super) fn proc_path(&self) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        let parent = PathBuf::from(format!("/proc/self/fd/{}", self.parent.as_raw_fd()));
        parent.join(std::ffi::OsStr::from_bytes(self.name.to_bytes()))
    }
}

pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// One directory on the way down.
struct Level {
    dir: OwnedFd,
    /// Still to visit, the next one last.
    names: Vec<CString>,
    path_bytes: usize,
}

/// Calls `visit` for everything below `root` but what the container runtime put there itself.
pub(super) fn walk(
    root: &Path,
    lower: &[PathBuf],
    mut visit: impl FnMut(&Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let placeholders = Placeholders::over(lower);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut levels = vec![level(nix::fcntl::open(root, flags, Mode::empty())?, 0)?];
    let mut path = Vec::new();
    while let Some(top) = levels.last_mut() {
        path.truncate(top.path_bytes);
        let Some(name) = top.names.pop() else {
            levels.pop();
            continue;
        };
        let Some(stat) = stat_of(top.dir.as_fd(), &name)? else { continue };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        if path.len() > PATH_MAX_BYTES || levels.len() > DEPTH_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidFilename));
        }
        let Some(top) = levels.last() else { break };
        if placeholders.holds(top.dir.as_fd(), &name, &path, &stat) {
            continue;
        }
        visit(&Entry { path: &path, stat: &stat, parent: top.dir.as_fd(), name: &name })?;
        if kind(&stat) == SFlag::S_IFDIR {
            let below = openat(&top.dir, name.as_c_str(), flags | OFlag::O_NOFOLLOW, Mode::empty());
            match below {
                Ok(dir) => levels.push(level(dir, path.len())?),
                // It was removed or exchanged meanwhile.
                Err(nix::Error::ENOENT | nix::Error::ENOTDIR | nix::Error::ELOOP) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn level(dir: OwnedFd, path_bytes: usize) -> io::Result<Level> {
    let mut names = names(&dir)?;
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(Level { dir, names, path_bytes })
}

pub(super) fn names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(dir.try_clone()?)?.iter() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// None: it is gone.
pub(super) fn stat_of(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<FileStat>> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(nix::Error::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
