//! One open directory on the way down a tree. A walk is a stack of these, not a recursion: how deep a tree is, a stranger
//! decides. What vanishes or is exchanged while we walk is passed over or seen as what it is now.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    vec::IntoIter,
};

use crate::sys;

pub(crate) struct Level {
    pub(crate) dir: OwnedFd,
    names: IntoIter<CString>,
    /// Length of this directory's own path.
    pub(crate) path_len: usize,
}

impl Level {
    /// `dir` is open for reading.
    pub(crate) fn new(dir: OwnedFd, path_len: usize) -> io::Result<Self> {
        let names = sys::names(&dir)?.into_iter();
        Ok(Self { dir, names, path_len })
    }

    pub(crate) fn next(&mut self) -> Option<CString> {
        self.names.next()
    }
}

/// The directory `name` below `dir`, for reading; None if it is none any more.
pub(crate) fn descend(dir: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<Option<OwnedFd>> {
    gone(sys::open_child(dir, name, libc::O_RDONLY | libc::O_DIRECTORY, 0))
}

/// None for what has vanished or turned into something else.
pub(crate) fn gone<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// An O_PATH descriptor for reading.
pub(crate) fn readable(dir: &OwnedFd) -> io::Result<OwnedFd> {
    sys::open(dir.as_fd(), c".", libc::O_RDONLY | libc::O_DIRECTORY, 0, 0)
}
