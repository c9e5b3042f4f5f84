//! Network namespaces as files: made, bound to a path, entered for a moment, let go.
//!
//! A thread that has entered another namespace must die there. Tokio's workers never enter one: [`Netns::run`] starts a
//! thread for each visit (about 40 us). What the visit leaves behind (sockets) stays in the namespace and is used from
//! anywhere. Inside a visit, never start a thread or call `spawn_blocking`: the new thread would inherit the namespace
//! and live on in tokio's pool.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    path::Path,
};

use domain::{Error, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::{
        socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket},
        statfs::{NSFS_MAGIC, statfs},
    },
};

/// An open network namespace: it lives at least as long as this does.
#[derive(Debug)]
pub(crate) struct Netns(File);

impl Netns {
    /// Opens the namespace that is bound at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::because(format!("open {}", path.display()), e))?;
        Ok(Self(file))
    }

    /// Makes a namespace, owned by the host's user namespace, and binds it at `path`.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        visit(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| Error::because("unshare(CLONE_NEWNET)", e))?;
            bind(Path::new("/proc/thread-self/ns/net"), path)
        })?;
        Self::open(path)
    }

    /// Runs `f` on a thread inside the namespace and waits for it; see the module's text for what `f` must not do.
    pub(crate) fn run<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        visit(|| {
            setns(&self.0, CloneFlags::CLONE_NEWNET).map_err(|e| Error::because("setns", e))?;
            f()
        })
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// A second reference.
    pub(crate) fn share(&self) -> Result<Self> {
        self.0.try_clone().map(Self).map_err(|e| Error::because("dup of a namespace", e))
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A route netlink socket of the calling thread's namespace. Its task ends when the last handle is dropped.
pub(crate) fn links_here() -> Result<rtnetlink::Handle> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|e| Error::because("netlink socket", e))?;
    tokio::spawn(connection);
    Ok(handle)
}

/// A short-lived thread that knows the caller's tokio runtime.
fn visit<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let runtime = tokio::runtime::Handle::try_current().ok();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, move || {
            let _entered = runtime.as_ref().map(|r| r.enter());
            f()
        });
        let thread = thread.map_err(|e| Error::because("start a thread", e))?;
        thread.join().unwrap_or_else(|_| Err(Error::internal("a thread in a network namespace panicked")))
    })
}

/// Binds the namespace `source` (a path below /proc) to the file `target`, which is made.
pub(crate) fn bind(source: &Path, target: &Path) -> Result<()> {
    let failed = |e: io::Error| Error::because(format!("bind {}", target.display()), e);
    File::create(target).map_err(failed)?;
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(|e| failed(e.into()))
}

/// Takes the binding away, and the file. Nothing there: done.
pub(crate) fn unbind(target: &Path) {
    // A crash between two binds leaves a plain file: EINVAL. Whoever still uses the namespace keeps it.
    let _ = umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    let _ = std::fs::remove_file(target);
}

/// Whether a namespace is bound there, rather than an empty file that a crash or a reboot left.
pub(crate) fn is_bound(path: &Path) -> bool {
    statfs(path).is_ok_and(|s| s.filesystem_type() == NSFS_MAGIC)
}

/// Sets sysctls (`net.ipv4.ip_forward`) of the calling thread's namespace.
pub(crate) fn sysctl_here(key: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/{}", proc_path(key));
    std::fs::write(&path, value).map_err(|e| Error::because(format!("write {value:?} to {path}"), e))
}

/// As [`sysctl_here`], unless the kernel does not know the key (IPv6 or br_netfilter left out).
pub(crate) fn sysctl_if_there(key: &str, value: &str) -> Result<()> {
    match Path::new("/proc/sys").join(proc_path(key)).exists() {
        true => sysctl_here(key, value),
        false => Ok(()),
    }
}

/// Brings loopback up in the calling thread's namespace. One raw RTM_NEWLINK: here nobody can wait for rtnetlink's task.
pub(crate) fn set_loopback_up_here() -> Result<()> {
    const LOOPBACK: i32 = 1;
    let up = libc::IFF_UP as u32;
    let mut message = 32u32.to_ne_bytes().to_vec();
    message.extend(libc::RTM_NEWLINK.to_ne_bytes());
    message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
    message.extend([0; 12]); // sequence, port; family, type
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(up.to_ne_bytes()); // flags
    message.extend(up.to_ne_bytes()); // mask
    netlink_here(SockProtocol::NetlinkRoute, &message).map_err(|e| Error::because("set lo up", e))
}

/// Sends one request and reads its acknowledgement, which the kernel has ready when `send` returns.
fn netlink_here(protocol: SockProtocol, message: &[u8]) -> io::Result<()> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    send(socket.as_raw_fd(), message, MsgFlags::empty())?;
    let mut answer = [0u8; 512];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    match answer.get(16..20).filter(|_| length >= 20).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// `net.ipv4.conf.eth0/1.x`: as sysctl(8), dots and slashes trade places.
fn proc_path(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn dots_and_slashes_trade_places() {
        assert_eq!(super::proc_path("net.ipv4.conf.eth0/1.rp_filter"), "net/ipv4/conf/eth0.1/rp_filter");
    }
}
