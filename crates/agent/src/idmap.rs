//! One idmapped view of a directory for each tenant, so that all tenants share the unpacked layers.
//!
//! Files on disk belong to ids 0..65535; through the view they belong to the tenant's range. The kernel does the shift,
//! nothing is copied. An overlay whose directories are all under the view is what the tenant's container gets as its
//! root. The second line of the map is essential: without it host uid 0, which mounts the overlay, has no id on disk,
//! the work directory cannot be made, and the overlay is silently read-only.
#![allow(unsafe_code)] // fork and the mount API: raw system calls that no crate wraps

use std::{
    collections::{HashMap, HashSet},
    ffi::CString,
    fs, io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use domain::{Error, Result, TenantId, tenant::UID_RANGE};

use crate::containerd::Mount;

/// An id on disk that no image uses stands for host uid 0.
const HOST_ROOT_ON_DISK: u32 = 4_000_000_000;

/// The views of this host. They live as long as the machine, not as the agent.
#[derive(Debug)]
pub(crate) struct Idmap {
    run: PathBuf,
    known: Mutex<HashSet<PathBuf>>,
    user_namespaces: Mutex<HashMap<TenantId, Arc<OwnedFd>>>,
}

impl Idmap {
    /// Views are made under `run`.
    pub(crate) fn new(run: &Path) -> Self {
        Self { run: run.join("idmap"), known: Mutex::default(), user_namespaces: Mutex::default() }
    }

    /// The view of `source` for `tenant`; `name` tells its views apart. About 1 ms the first time.
    pub(crate) async fn view(&self, tenant: TenantId, uid_base: u32, name: &str, source: &Path) -> Result<PathBuf> {
        let target = self.path(tenant, name);
        if self.known().contains(&target) {
            return Ok(target);
        }
        let (from, to) = (source.to_owned(), target.clone());
        tokio::task::spawn_blocking(move || ensure(&from, &to, uid_base))
            .await
            .map_err(|e| Error::because("idmapped mount", e))?
            .map_err(|e| Error::because(format!("idmapped mount of {}", source.display()), e))?;
        self.known().insert(target.clone());
        Ok(target)
    }

    /// Where the view of that name is, or will be.
    pub(crate) fn path(&self, tenant: TenantId, name: &str) -> PathBuf {
        self.run.join(tenant.to_string()).join(name)
    }

    /// A user namespace with the tenant's range, for who works on files of a container that has none at the moment.
    pub(crate) async fn user_namespace(&self, tenant: TenantId, uid_base: u32) -> Result<Arc<OwnedFd>> {
        let lock = || self.user_namespaces.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(known) = lock().get(&tenant) {
            return Ok(known.clone());
        }
        let made = tokio::task::spawn_blocking(move || user_namespace(&format!("0 {uid_base} {UID_RANGE}\n")))
            .await
            .map_err(|e| Error::because("user namespace", e))?
            .map_err(|e| Error::because("user namespace", e))?;
        Ok(lock().entry(tenant).or_insert_with(|| Arc::new(made)).clone())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Mounts of a snapshot as the tenant must see them: every path below `snapshots` goes through `view`.
pub(crate) fn rewrite(mounts: &[Mount], snapshots: &str, view: &Path) -> Vec<Mount> {
    let view = view.to_string_lossy();
    let swap = |text: &str| text.replace(&format!("{snapshots}/"), &format!("{view}/"));
    let rewritten = mounts.iter().map(|mount| Mount {
        source: swap(&mount.source),
        options: mount.options.iter().map(|option| swap(option)).collect(),
        ..mount.clone()
    });
    rewritten.collect()
}

fn ensure(source: &Path, target: &Path, uid_base: u32) -> io::Result<()> {
    if is_mount_point(target)? {
        return Ok(());
    }
    fs::create_dir_all(target)?;
    let user_ns = user_namespace(&format!("0 {uid_base} {UID_RANGE}\n{HOST_ROOT_ON_DISK} 0 1\n"))?;
    let tree = open_tree(source)?;
    set_idmap(&tree, &user_ns)?;
    move_mount(&tree, target)
}

/// Mounts what `opened` is (with the view that it was opened through) at `target`.
pub(crate) fn bind(opened: &impl AsRawFd, target: &Path) -> io::Result<()> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH.unsigned_abs();
    // SAFETY: the path is a terminated string, the descriptor is open for the length of the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, opened.as_raw_fd(), c"".as_ptr(), flags) };
    move_mount(&owned(fd)?, target)
}

fn is_mount_point(path: &Path) -> io::Result<bool> {
    let text = fs::read_to_string("/proc/self/mountinfo")?;
    let path = path.to_string_lossy();
    Ok(text.lines().any(|line| line.split(' ').nth(4) == Some(&*path)))
}

/// A user namespace with this uid and gid map, alive as long as the descriptor.
fn user_namespace(map: &str) -> io::Result<OwnedFd> {
    let (ready_read, ready_write) = pipe()?;
    // SAFETY: between fork and its end the child makes only async-signal-safe system calls, on values it has already.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    if child == 0 {
        // SAFETY: raw system calls on a descriptor that this process owns; nothing allocates, nothing unwinds.
        unsafe { live_in_user_namespace(ready_write.as_raw_fd()) }
    }
    drop(ready_write);
    let namespace = wait_ready(&ready_read).and_then(|()| {
        for file in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{child}/{file}"), map)?;
        }
        fs::File::open(format!("/proc/{child}/ns/user")).map(OwnedFd::from)
    });
    // A signal, not the end of a pipe: another child of the same moment may have inherited our end of it.
    // SAFETY: our own child, not yet waited for, so its id is still its own; a null status is allowed.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    namespace
}

/// The child: a new user namespace, until it is killed.
///
/// # Safety
/// Only between `fork` and the child's end, with a descriptor that is open.
unsafe fn live_in_user_namespace(ready: RawFd) -> ! {
    // SAFETY: plain system calls; the byte is on this stack.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::unshare(libc::CLONE_NEWUSER) != 0 {
            libc::_exit(1);
        }
        let byte = 1u8;
        libc::write(ready, std::ptr::from_ref(&byte).cast(), 1);
        loop {
            libc::pause();
        }
    }
}

fn wait_ready(ready: &OwnedFd) -> io::Result<()> {
    let mut byte = [0u8; 1];
    match nix::unistd::read(ready, &mut byte)? {
        1 => Ok(()),
        _ => Err(io::Error::other("unshare(CLONE_NEWUSER) failed")),
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

fn open_tree(source: &Path) -> io::Result<OwnedFd> {
    let source = c_path(source)?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: the path is a terminated string that outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, source.as_ptr(), flags) };
    owned(fd)
}

fn set_idmap(tree: &OwnedFd, user_ns: &OwnedFd) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: user_ns.as_raw_fd().unsigned_abs().into(),
    };
    let size = size_of::<libc::mount_attr>();
    let (fd, empty) = (tree.as_raw_fd(), c"".as_ptr());
    // SAFETY: the structure outlives the call and `size` is its size.
    done(unsafe { libc::syscall(libc::SYS_mount_setattr, fd, empty, libc::AT_EMPTY_PATH, &attributes, size) })
}

fn move_mount(tree: &OwnedFd, target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    let (fd, empty, flags) = (tree.as_raw_fd(), c"".as_ptr(), libc::MOVE_MOUNT_F_EMPTY_PATH);
    // SAFETY: both paths are terminated strings that outlive the call.
    done(unsafe { libc::syscall(libc::SYS_move_mount, fd, empty, libc::AT_FDCWD, target.as_ptr(), flags) })
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just given us this descriptor.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_overlay_goes_through_the_view() {
        let mount = Mount {
            r#type: "overlay".into(),
            source: "overlay".into(),
            options: [
                "workdir=/c/snapshots/9/work",
                "upperdir=/c/snapshots/9/fs",
                "lowerdir=/c/snapshots/2/fs:/c/snapshots/1/fs",
            ]
            .map(String::from)
            .to_vec(),
            ..Default::default()
        };
        let got = rewrite(&[mount], "/c/snapshots", Path::new("/v"));
        assert_eq!(got[0].options, ["workdir=/v/9/work", "upperdir=/v/9/fs", "lowerdir=/v/2/fs:/v/1/fs"]);
    }
}
