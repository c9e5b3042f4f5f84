//! Sandboxes that are ready before a container asks for them.
//!
//! A user and a network namespace, loopback up, sysctls set, DNS sockets open and redirected: all that does not depend on
//! the container, only on its tenant. A start then adds a link and renames a directory. A tenant that starts something
//! gets a few spares, and loses them after some quiet minutes. Directories may be renamed although namespaces are bound
//! inside: a mount hangs on its directory entry, not on a path.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::{Error, Result};
use rtnetlink::Handle;

use super::{
    netns::{self, Netns},
    sandbox,
    userns::Holder,
};
use crate::dns::Sockets;

/// Spares of a tenant that starts one container now and then, and of one that starts many.
const FEW: usize = 2;
const MANY: usize = 4;
/// Without a start for so long, a tenant loses its spares.
const QUIET: Duration = Duration::from_secs(300);
/// Without a miss for so long, it falls back to a few.
const CALM: Duration = Duration::from_secs(30);
/// Refilling waits until the start that took a spare has had the CPU.
const AFTER_START: Duration = Duration::from_millis(100);

/// Sysctls of every container. Ping groups are host ids: all of them, as in Docker. No IPv6 but on loopback.
const SYSCTLS: [(&str, &str); 3] = [
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
    ("net.ipv6.conf.default.disable_ipv6", "1"),
];

/// A sandbox without a container.
pub(super) struct Spare {
    pub(super) dir: PathBuf,
    pub(super) netns: Netns,
    pub(super) links: Handle,
    pub(super) sockets: Sockets,
}

impl Spare {
    /// Blocks for some milliseconds; needs a tokio runtime around it.
    pub(super) fn make(parent: &Path, uid_base: u32) -> Result<Self> {
        let dir = parent.join(format!("{uid_base}-{:016x}", rand::random::<u64>()));
        let made = Self::make_in(dir.clone(), uid_base);
        if made.is_err() {
            sandbox::remove_dir(&dir);
        }
        made
    }

    fn make_in(dir: PathBuf, uid_base: u32) -> Result<Self> {
        std::fs::create_dir_all(&dir).map_err(|e| Error::because(format!("make {}", dir.display()), e))?;
        let holder = Holder::start(uid_base)?;
        for kind in ["user", "net"] {
            netns::bind(&holder.namespace(kind), &dir.join(kind))?;
        }
        let netns = Netns::open(&dir.join("net"))?;
        let (links, sockets) = netns.run(prepare_here)?;
        Ok(Self { dir, netns, links, sockets })
    }
}

fn prepare_here() -> Result<(Handle, Sockets)> {
    for (key, value) in SYSCTLS {
        netns::sysctl_if_there(key, value)?;
    }
    let links = netns::links_here()?;
    netns::set_loopback_up_here()?;
    Ok((links, Sockets::open_here()?))
}

struct Tenant {
    ready: Vec<Spare>,
    /// Being made.
    coming: usize,
    target: usize,
    used_at: Instant,
    missed_at: Instant,
}

/// The spares of all tenants, by the first id of their range.
pub(super) struct Pool {
    dir: PathBuf,
    tenants: Mutex<HashMap<u32, Tenant>>,
}

impl Pool {
    pub(super) fn new(dir: PathBuf) -> Arc<Self> {
        Arc::new(Self { dir, tenants: Mutex::default() })
    }

    /// A spare, or a fresh one when there is none; asks for more in the background.
    pub(super) async fn take(self: &Arc<Self>, uid_base: u32) -> Result<Spare> {
        let taken = self.pop(uid_base);
        let hurry = taken.is_none();
        let pool = self.clone();
        tokio::spawn(async move {
            if !hurry {
                tokio::time::sleep(AFTER_START).await;
            }
            pool.refill(uid_base).await;
        });
        match taken {
            Some(spare) => Ok(spare),
            None => self.make(uid_base).await,
        }
    }

    fn pop(&self, uid_base: u32) -> Option<Spare> {
        let now = Instant::now();
        let mut tenants = self.lock();
        let new = || Tenant { ready: Vec::new(), coming: 0, target: FEW, used_at: now, missed_at: now };
        let is_first = !tenants.contains_key(&uid_base);
        let tenant = tenants.entry(uid_base).or_insert_with(new);
        tenant.used_at = now;
        let spare = tenant.ready.pop();
        if spare.is_none() && !is_first {
            (tenant.target, tenant.missed_at) = (MANY, now);
        }
        spare
    }

    async fn make(&self, uid_base: u32) -> Result<Spare> {
        let dir = self.dir.clone();
        let made = tokio::task::spawn_blocking(move || Spare::make(&dir, uid_base)).await;
        made.map_err(|e| Error::because("make a sandbox", e))?
    }

    /// One after the other: several at once would only fight for the kernel's locks.
    async fn refill(&self, uid_base: u32) {
        while self.wants(uid_base) {
            let made = self.make(uid_base).await;
            let mut tenants = self.lock();
            let Some(tenant) = tenants.get_mut(&uid_base) else { return };
            tenant.coming -= 1;
            match made {
                Ok(spare) => tenant.ready.push(spare),
                Err(error) => return tracing::warn!(error = error.operator_text(), "make a spare sandbox"),
            }
        }
    }

    fn wants(&self, uid_base: u32) -> bool {
        let mut tenants = self.lock();
        let Some(tenant) = tenants.get_mut(&uid_base) else { return false };
        let wants = tenant.ready.len() + tenant.coming < tenant.target;
        tenant.coming += usize::from(wants);
        wants
    }

    /// The spares that nobody needs any more; called now and then.
    pub(super) fn cull(&self) -> Vec<Spare> {
        let mut tenants = self.lock();
        let mut culled = Vec::new();
        for tenant in tenants.values_mut() {
            if tenant.missed_at.elapsed() > CALM {
                tenant.target = FEW;
            }
            let keep = if tenant.used_at.elapsed() > QUIET { 0 } else { tenant.target };
            culled.extend(tenant.ready.drain(keep.min(tenant.ready.len())..));
        }
        tenants.retain(|_, t| t.used_at.elapsed() <= QUIET || t.coming > 0);
        culled
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Tenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
