//! The NIS domain name of a container (`--domainname`).
//!
//! runc would write the sysctl as root of the tenant's user namespace, who may not: the file is the host root's. So it is
//! written from here, between the making of the UTS namespace and the start of the command in it. A thread that has entered
//! another namespace ends there.

use std::{fs::File, io, path::Path};

use domain::{Error, Result};
use nix::sched::{CloneFlags, setns};

const DOMAINNAME: &str = "/proc/sys/kernel/domainname";

/// In the UTS namespace of the process `pid`.
pub(crate) async fn set_domainname(pid: u32, name: &str) -> Result<()> {
    let name = name.to_owned();
    // A thread of its own, behind one of tokio's that only waits for it.
    let set = tokio::task::spawn_blocking(move || {
        std::thread::scope(|scope| scope.spawn(|| set_here(Path::new(&format!("/proc/{pid}/ns/uts")), &name)).join())
    });
    let joined = set.await.map_err(|e| Error::because("domainname", e))?;
    let written = joined.map_err(|_| Error::internal("domainname: a thread panicked"))?;
    written.map_err(|e| Error::because("domainname", e))
}

fn set_here(namespace: &Path, name: &str) -> io::Result<()> {
    let own = Path::new("/proc/thread-self/ns/uts").read_link()?;
    setns(File::open(namespace)?, CloneFlags::CLONE_NEWUTS)?;
    // Never the host's own name, whatever the process id meant.
    if Path::new("/proc/thread-self/ns/uts").read_link()? == own {
        return Err(io::Error::other("the container has no UTS namespace of its own"));
    }
    std::fs::write(DOMAINNAME, name)
}
