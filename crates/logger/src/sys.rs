//! The system calls that std does not wrap.

#![allow(unsafe_code)] // each block is one system call on plain values

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, RawFd},
};

/// Descriptors that containerd's shim passes to a logging binary.
const STDOUT: RawFd = 3;
const STDERR: RawFd = 4;
const READY: RawFd = 5;
/// Four reads, so that a writer need not wait for each of ours; much more leaves the second-level cache.
const PIPE_BYTES: libc::c_int = 256 << 10;

/// Only the end of the output ends us; the shim sends SIGTERM when it deletes a task, which is one moment too early.
pub(crate) fn ignore_signals() {
    for signal in
        [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE, libc::SIGUSR1, libc::SIGUSR2]
    {
        // SAFETY: SIG_IGN installs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Leaves the shim's process group, so that what is sent to the group does not reach us.
pub(crate) fn new_session() {
    // SAFETY: no arguments, and failure changes nothing.
    unsafe { libc::setsid() };
}

/// stdout, stderr and the ready pipe. Call once.
pub(crate) fn inherited() -> (File, File, File) {
    // SAFETY: the shim passes these three to us alone, and nothing else in this process names them.
    let [stdout, stderr, ready] = [STDOUT, STDERR, READY].map(|fd| unsafe { File::from_raw_fd(fd) });
    enlarge(&stdout);
    enlarge(&stderr);
    (stdout, stderr, ready)
}

/// A larger pipe means fewer, larger records. A refusal is fine.
fn enlarge(pipe: &File) {
    // SAFETY: F_SETPIPE_SZ takes an int; on anything that is no pipe it fails.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
}

/// The shim's pipes are root's, whom a container's user namespace does not know, so that not even its root could open
/// `/dev/stdout`. A pipe has one owner for both ends. A refusal costs just that.
pub(crate) fn give(pipes: [&File; 2], owner: u32) {
    for pipe in pipes.into_iter().filter(|_| owner != 0) {
        let _ = std::os::unix::fs::fchown(pipe, Some(owner), Some(owner));
    }
}

/// `poll(2)`; a signal counts as a time-out. `timeout_ms` -1 waits for ever.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout_ms: i32) -> io::Result<()> {
    // SAFETY: pointer and length are those of one slice.
    let n = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
    if n >= 0 {
        return Ok(());
    }
    fds.iter_mut().for_each(|fd| fd.revents = 0);
    match io::Error::last_os_error() {
        e if e.kind() == io::ErrorKind::Interrupted => Ok(()),
        e => Err(e),
    }
}
