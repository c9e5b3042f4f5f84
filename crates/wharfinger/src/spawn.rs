//! What std offers no safe call for: code between fork and exec.
#![allow(unsafe_code)]

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use nix::{
    sched::{CloneFlags, setns},
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{getpid, getppid},
};
use tokio::process::Command;

/// The child gets `death` when its parent dies. "Parent" means the *thread* that forked: spawn only from a thread that
/// lives as long as the supervisor, hence the single-threaded runtime of `up`.
pub(crate) fn die_with_parent(command: &mut Command, death: Signal) {
    let parent = getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are made (prctl, getppid), and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(death)?;
            // The parent may have died before the call above.
            if getppid() == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(nix::libc::ESRCH)) }
        });
    }
}

/// The child runs in the network namespace bound at `path`. Unlike `ip netns exec` this leaves the mount namespace
/// alone: what containerd mounts must be seen by everybody.
pub(crate) fn enter_netns(command: &mut Command, path: &Path) -> io::Result<()> {
    let namespace = File::open(PathBuf::from(path))?;
    // SAFETY: setns is a bare system call; the descriptor is moved into the closure and so outlives the fork.
    unsafe {
        command.pre_exec(move || Ok(setns(&namespace, CloneFlags::CLONE_NEWNET)?));
    }
    Ok(())
}

/// Adds the directories of system commands to `PATH`, for us and our children: `su` without `-` leaves them out, and
/// `ip`, `nft` and `runc` live there. Call before any thread is started.
pub(crate) fn extend_path() {
    let path = std::env::var("PATH").unwrap_or_default();
    // SAFETY: the process has one thread yet, so nobody reads the environment meanwhile.
    unsafe {
        std::env::set_var("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"))
    };
}
