//! Paths as bytes: Go's lexical rules, and look-ups inside the root that was entered.
//!
//! `/` is the container's root by now, so no link leads outside. What is still to be refused are the kernel's magic links
//! (`/proc/1/root`), and whatever is in a pseudo file system: dockerd sees the image's empty directories there.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use crate::sys;

/// As the kernel for a path walk.
const LINKS_MAX: usize = 255;

/// procfs, sysfs, cgroup v1 and v2, mqueue, devpts, securityfs, debugfs, tracefs, bpf, binfmt_misc, configfs, fusectl.
const PSEUDO: [i64; 13] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x1980_0202,
    0x1cd1,
    0x7363_6673,
    0x6462_6720,
    0x7472_6163,
    0xcafe_4a11,
    0x4249_4e4d,
    0x6265_6570,
    0x6573_5543,
];

pub(crate) fn is_pseudo(fd: BorrowedFd<'_>) -> io::Result<bool> {
    sys::file_system(fd).map(|magic| PSEUDO.contains(&magic))
}

/// Lexically cleaned components, and how many `..` are left in front of them. An absolute path has none left.
pub(crate) fn components(path: &[u8]) -> (usize, Vec<&[u8]>) {
    let (mut above, mut kept) = (0, Vec::new());
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if kept.pop().is_none() && !path.starts_with(b"/") => above += 1,
            b".." => {}
            part => kept.push(part),
        }
    }
    (above, kept)
}

/// The last component of what was asked for, in Go's sense: `/` of the root, `.` of `/a/.`.
pub(crate) fn base(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    match &path[..end] {
        [] => b"/",
        path => path.rsplit(|b| *b == b'/').next().unwrap_or(path),
    }
}

/// Whether the last component is followed: the path ends in `/` or `/.`.
pub(crate) fn is_followed(path: &[u8]) -> bool {
    path.ends_with(b"/") || base(path) == b"."
}

/// An O_PATH descriptor of `path`; a link itself, unless the path says to follow it.
pub(crate) fn look(path: &[u8]) -> io::Result<OwnedFd> {
    let flags = if is_followed(path) { libc::O_DIRECTORY } else { libc::O_NOFOLLOW };
    let name = sys::terminated(path)?;
    let found = sys::open(sys::here(), &name, libc::O_PATH | flags, 0, libc::RESOLVE_NO_MAGICLINKS);
    let found = found.map_err(|e| without_magic(path, e))?;
    refuse_pseudo(&found)?;
    Ok(found)
}

/// The kernel has one error for a loop of links and for a magic one; where the text has no loop, it was magic. Nothing but
/// magic is denied to us.
fn without_magic(path: &[u8], error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ELOOP | libc::EACCES) if evaluate(path).is_ok() => io::ErrorKind::NotFound.into(),
        _ => error,
    }
}

/// An open directory below `dir` (or `/`), all links followed.
pub(crate) fn directory(dir: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let name = sys::terminated(if path.is_empty() { b"." } else { path })?;
    let found = sys::open(dir, &name, libc::O_RDONLY | libc::O_DIRECTORY, 0, libc::RESOLVE_NO_MAGICLINKS)?;
    match is_pseudo(found.as_fd())? {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(found),
    }
}

/// The mount point of one may be looked at, what is in it is not there.
fn refuse_pseudo(found: &OwnedFd) -> io::Result<()> {
    let inside = match sys::is_dir(&sys::stat(found.as_fd())?) {
        true => is_pseudo(sys::open(found.as_fd(), c"..", libc::O_PATH | libc::O_DIRECTORY, 0, 0)?.as_fd())?,
        false => is_pseudo(found.as_fd())?,
    };
    if inside { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
}

/// `path` with every link replaced by its target, as text; what does not exist stays as it is written.
pub(crate) fn evaluate(path: &[u8]) -> io::Result<Vec<u8>> {
    let split = |path: &[u8]| path.split(|b| *b == b'/').filter(|p| !p.is_empty()).map(<[u8]>::to_vec).collect();
    let mut todo: VecDeque<Vec<u8>> = split(path);
    let (mut done, mut links) = (Vec::<Vec<u8>>::new(), 0);
    while let Some(part) = todo.pop_front() {
        match &part[..] {
            b"." => continue,
            b".." => {
                done.pop();
                continue;
            }
            _ => done.push(part),
        }
        let Some(target) = link_target(&joined(&done)) else { continue };
        links += 1;
        if links > LINKS_MAX {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        match target.starts_with(b"/") {
            true => done.clear(),
            false => drop(done.pop()),
        }
        let rest: VecDeque<Vec<u8>> = split(&target);
        rest.into_iter().rev().for_each(|part| todo.push_front(part));
    }
    Ok(joined(&done))
}

fn link_target(path: &[u8]) -> Option<Vec<u8>> {
    let name = sys::terminated(path).ok()?;
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let found = sys::open(sys::here(), &name, flags, 0, libc::RESOLVE_NO_MAGICLINKS).ok()?;
    let data = sys::stat(found.as_fd()).ok()?;
    if sys::kind(&data) == libc::S_IFLNK { sys::read_link(found.as_fd(), c"").ok() } else { None }
}

pub(crate) fn joined(parts: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut path = Vec::new();
    for part in parts {
        path.push(b'/');
        path.extend_from_slice(part.as_ref());
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_as_go_cleans_them() {
        let clean = |path: &str| {
            let (above, parts) = components(path.as_bytes());
            (above, String::from_utf8(joined(&parts)).expect("UTF-8"))
        };
        assert_eq!(clean("a//b/./c/"), (0, "/a/b/c".into()));
        assert_eq!(clean("a/../../x"), (1, "/x".into()));
        assert_eq!(clean("/../../x"), (0, "/x".into()));
        assert_eq!(clean("./"), (0, "/".into()));
        assert_eq!(clean("../../"), (2, "/".into()));
    }

    #[test]
    fn the_base_is_gos() {
        for (path, expected) in [("/", "/"), ("/a/b", "b"), ("/a/b/", "b"), ("/a/b/.", "."), ("/.", ".")] {
            assert_eq!(base(path.as_bytes()), expected.as_bytes(), "{path}");
        }
        assert!(is_followed(b"/a/") && is_followed(b"/a/.") && !is_followed(b"/a.") && !is_followed(b"/a"));
    }
}
