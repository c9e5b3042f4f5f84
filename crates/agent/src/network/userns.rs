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
    /// Closing it ends the child.
    go_on: Option<PipeWriter>,
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
            0 => child(progress_child.as_raw_fd(), go_on_child.as_raw_fd(), progress.as_raw_fd(), go_on.as_raw_fd()),
            _ => {}
        }
        let mut holder = Self { pid, go_on: Some(go_on) };
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
        if let Some(go_on) = &mut self.go_on {
            go_on.write_all(&step)?;
        }
        progress.read_exact(&mut step) // the network namespace is there
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.go_on = None;
        // SAFETY: waits for our own child, which ends since its pipe is closed; no memory is passed.
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
    }
}

/// The child's whole life. Descriptors: its own ends, then the parent's, which it closes.
fn child(progress: i32, go_on: i32, parent_progress: i32, parent_go_on: i32) -> ! {
    let mut byte = 1u8;
    // SAFETY: async-signal-safe calls on descriptors that this process owns and on one byte of its own stack.
    unsafe {
        libc::close(parent_progress);
        libc::close(parent_go_on);
        if libc::unshare(libc::CLONE_NEWUSER) != 0 || libc::write(progress, (&raw const byte).cast(), 1) != 1 {
            libc::_exit(1);
        }
        if libc::read(go_on, (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(0);
        }
        // The raw call: libc's wrapper would signal threads that this process does not have.
        libc::syscall(libc::SYS_setresgid, 0, 0, 0);
        libc::syscall(libc::SYS_setresuid, 0, 0, 0);
        if libc::unshare(libc::CLONE_NEWNET) != 0 || libc::write(progress, (&raw const byte).cast(), 1) != 1 {
            libc::_exit(2);
        }
        libc::read(go_on, (&raw mut byte).cast(), 1);
        libc::_exit(0)
    }
}
