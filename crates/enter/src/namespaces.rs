//! Into the namespaces of a container, and out of our own rights.
//!
//! The order matters: everything of `/proc/PID` is opened first, since it is out of sight afterwards. A process id may have
//! been given to another process since the caller learned it: the descriptor of `/proc/PID` stands for one process, and
//! that must be in the container's cgroup and have the tenant's ids, or it would be a stranger's whom we serve.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use crate::{
    failure::{Failure, Kind, Outcome},
    limits, sys,
};

/// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETFCAP: to restore files as they were.
const FILE_CAPABILITIES: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 31;
/// DAC_READ_SEARCH, and SYS_ADMIN for `trusted.*` attributes.
const LAYER_CAPABILITIES: u64 = 1 << 2 | 1 << 21;

/// A process of the container, by what `/proc` has of it.
pub(crate) struct Process {
    user: OwnedFd,
    mount: OwnedFd,
    root: OwnedFd,
}

impl Process {
    /// # Errors
    /// `Gone` when the process is not there, or is not `container`'s with ids from `uid_base` on.
    pub(crate) fn find(pid: &[u8], uid_base: &[u8], container: &[u8]) -> Outcome<Self> {
        if pid.is_empty() || !pid.iter().all(u8::is_ascii_digit) {
            return Err(Failure::internal("not a process id"));
        }
        let path = sys::terminated(&[b"/proc/", pid].concat()).map_err(Failure::internal)?;
        let look = || -> io::Result<(Self, String, String)> {
            let dir = sys::open(sys::here(), &path, libc::O_PATH | libc::O_DIRECTORY, 0, 0)?;
            let at = |name, flags| sys::open(dir.as_fd(), name, flags, 0, 0);
            let (cgroup, map) = (at(c"cgroup", libc::O_RDONLY)?, at(c"uid_map", libc::O_RDONLY)?);
            let process = Self {
                user: at(c"ns/user", libc::O_RDONLY)?,
                mount: at(c"ns/mnt", libc::O_RDONLY)?,
                root: at(c"root", libc::O_PATH | libc::O_DIRECTORY)?,
            };
            Ok((process, text(cgroup)?, text(map)?))
        };
        let gone = |e: io::Error| Failure::new(Kind::Gone, format!("process of the container: {e}"));
        let (process, cgroup, map) = look().map_err(gone)?;
        let container = String::from_utf8_lossy(container);
        let base = String::from_utf8_lossy(uid_base);
        let ids: Vec<&str> = map.split_whitespace().collect();
        let own = ids.first() == Some(&"0") && ids.get(1) == Some(&&*base);
        if !own || container.len() < 8 || !cgroup.contains(&format!("/{container}")) {
            return Err(Failure::new(Kind::Gone, "the process id is another process's now"));
        }
        Ok(process)
    }

    /// Afterwards `/` is the container's root and we are its root user. `bare`: without what is mounted below its root.
    pub(crate) fn enter(&self, bare: bool) -> Outcome<()> {
        let enter = || {
            sys::join(self.mount.as_fd(), libc::CLONE_NEWNS)?;
            let clone = if bare { Some(sys::clone_mount(self.root.as_fd(), c"")?) } else { None };
            become_containers(self.user.as_fd(), clone.as_ref().unwrap_or(&self.root).as_fd())
        };
        enter().map_err(|e| Failure::internal(format!("entering: {e}")))
    }
}

fn text(fd: OwnedFd) -> io::Result<String> {
    let mut text = String::new();
    File::from(fd).take(64 << 10).read_to_string(&mut text)?;
    Ok(text)
}

/// The user namespace, its root user, `root` as `/`, and nothing more than that.
pub(crate) fn become_containers(user: BorrowedFd<'_>, root: BorrowedFd<'_>) -> io::Result<()> {
    sys::leave_groups()?;
    sys::join(user, libc::CLONE_NEWUSER)?;
    sys::become_root()?;
    sys::change_root(root)?;
    bound()?;
    sys::keep_capabilities(FILE_CAPABILITIES)?;
    // Late: a change of rights takes it back.
    sys::settle();
    Ok(())
}

/// For reading the layers themselves, which no container sees.
pub(crate) fn become_reader() -> io::Result<()> {
    bound()?;
    sys::keep_capabilities(LAYER_CAPABILITIES)?;
    sys::settle();
    Ok(())
}

fn bound() -> io::Result<()> {
    sys::limit(libc::RLIMIT_AS, limits::MEMORY_MAX_BYTES)?;
    sys::limit(libc::RLIMIT_NOFILE, limits::FILES_MAX)?;
    sys::limit(libc::RLIMIT_CORE, 0)?;
    sys::limit(libc::RLIMIT_NPROC, 0)
}
