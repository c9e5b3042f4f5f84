//! A user namespace with a tenant's mapping, and a network namespace that it owns.
//!
//! The network namespace must be owned by the container's user namespace, or the runtime can't mount sysfs in it and
//! ping is denied. The order matters: unshare user, write the maps, unshare net, so that the devices of the new network
//! namespace get their owner out of complete maps. A multi-threaded process can't unshare its user namespace, so a
//! child does; it makes raw system calls only, since locks that other threads held at the fork stay locked in it.
#![allow(unsafe_code)]

use std::{
    fs,
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::fd::AsRawFd,
    path::PathBuf,
};

use domain::{Error, Result};

/// Ids in a tenant's range.
const RANGE: u32 = 65_536;

/// A child that sits in its new namespaces until it is dropped, so that they can be bound through /proc.
pub(super) struct Holder {
    pid: libc::pid_t,
    /// Its end, when the agent dies, ends the child too.
    go_on: PipeWriter,
}

impl Holder {
    /// Container ids 0..65536 are host ids from `uid_base` up.
    pub(super) fn start(uid_base: u32) -> Result<Self> {
        Self::fork(uid_base).map_err(|e| Error::because("make a user and a network namespace", e))
    }

    /// `user` or `net`.
    pub(super) fn namespace(&self, kind: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/{kind}", self.pid))
    }

    fn fork(uid_base: u32) -> io::Result<Self> {
        let (mut progress, progress_child) = io::pipe()?;
        let (go_on_child, go_on) = io::pipe()?;
        // SAFETY: the child runs `child` only, which makes raw system calls and never returns; see the module's text.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => return Err(io::Error::last_os_error()),
            0 => child(progress_child.as_raw_fd(), go_on_child.as_raw_fd()),
            _ => {}
        }
        let mut holder = Self { pid, go_on };
        // Both ends of the child must close here, or its death would not be the end of the file.
        drop((progress_child, go_on_child));
        holder.set_up(&mut progress, uid_base)?;
        Ok(holder)
    }

    fn set_up(&mut self, progress: &mut PipeReader, uid_base: u32) -> io::Result<()> {
        let mut step = [0u8];
        progress.read_exact(&mut step)?; // the user namespace is there
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{}/{map}", self.pid), format!("0 {uid_base} {RANGE}\n"))?;
        }
        self.go_on.write_all(&step)?;
        progress.read_exact(&mut step) // the network namespace is there
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Not by the end of the pipe: a child of another module's may hold our end for a moment.
        // SAFETY: our own child, not yet waited for, so the id is still its own; a null status is allowed.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// The child's whole life, on its own ends of the pipes.
fn child(progress: i32, go_on: i32) -> ! {
    const GO_ON: i32 = 0;
    const PROGRESS: i32 = 1;
    let mut byte = 1u8;
    // SAFETY: async-signal-safe calls on descriptors that this process owns and on one byte of its own stack.
    unsafe {
        // Two children that were forked at the same time hold each other's pipes: neither would see the end of its own.
        if libc::dup2(go_on, GO_ON) != GO_ON || libc::dup2(progress, PROGRESS) != PROGRESS {
            libc::_exit(1);
        }
        libc::syscall(libc::SYS_close_range, 2, libc::c_uint::MAX, 0);
        if libc::unshare(libc::CLONE_NEWUSER) != 0 || libc::write(PROGRESS, (&raw const byte).cast(), 1) != 1 {
            libc::_exit(1);
        }
        if libc::read(GO_ON, (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(0);
        }
        // The raw calls: libc's wrappers would signal threads that this process does not have.
        libc::syscall(libc::SYS_setresgid, 0, 0, 0);
        libc::syscall(libc::SYS_setresuid, 0, 0, 0);
        if libc::unshare(libc::CLONE_NEWNET) != 0 || libc::write(PROGRESS, (&raw const byte).cast(), 1) != 1 {
            libc::_exit(2);
        }
        libc::read(GO_ON, (&raw mut byte).cast(), 1);
        libc::_exit(0)
    }
}
