//! Into the namespaces of a process.
//!
//! The order matters: everything of `/proc/PID` is opened first, since it is out of sight afterwards; the user namespace
//! comes before the mount namespace, since it gives the right to enter that.

#![allow(unsafe_code)] // each block is one system call on a descriptor or a plain value

use std::{
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, chroot},
    },
};

/// Afterwards `/` is the root of process `pid`, and we are its namespace's root user.
pub(crate) fn enter(pid: &str) -> io::Result<()> {
    if pid.is_empty() || !pid.bytes().all(|b| b.is_ascii_digit()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a process id"));
    }
    let open = |what: &str| File::open(format!("/proc/{pid}/{what}"));
    let (user, mount, root) = (open("ns/user")?, open("ns/mnt")?, open("root")?);
    // Entering one's own user namespace is an error.
    if user.metadata()?.ino() != fs::metadata("/proc/self/ns/user")?.ino() {
        leave_groups()?;
        join(&user, libc::CLONE_NEWUSER)?;
        become_root()?;
    }
    join(&mount, libc::CLONE_NEWNS)?;
    // SAFETY: an open descriptor.
    check(unsafe { libc::fchdir(root.as_raw_fd()) })?;
    chroot(".")?;
    std::env::set_current_dir("/")
}

fn join(namespace: &File, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: an open descriptor; the kernel checks its kind.
    check(unsafe { libc::setns(namespace.as_raw_fd(), kind) })
}

/// No group of ours comes along. On this side, since a user namespace may forbid it.
fn leave_groups() -> io::Result<()> {
    // SAFETY: an empty list is not read.
    check(unsafe { libc::setgroups(0, std::ptr::null()) })
}

/// What is made belongs to the container's root.
fn become_root() -> io::Result<()> {
    // SAFETY: plain values.
    check(unsafe { libc::setgid(0) })?;
    // SAFETY: plain values.
    check(unsafe { libc::setuid(0) })
}

fn check(outcome: libc::c_int) -> io::Result<()> {
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
