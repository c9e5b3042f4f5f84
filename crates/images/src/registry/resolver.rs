//! The resolver of our HTTP clients: it looks a name up once, judges *every* address, and the connection is made to
//! what it returned.
//!
//! So there is no gap between check and connect for a name that changes its address (DNS rebinding). One bad address
//! refuses the name: picking the good ones would let a tenant probe which of ours answer. IP literals in URLs never
//! come here; [`super::reach`] judges those.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::address;

/// As long as a connection may take as a whole.
pub(crate) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// getaddrinfo occupies a thread until it gives up: tenants must not take them all.
const LOOKUPS_AT_ONCE: usize = 32;

#[derive(Clone)]
pub(crate) enum Admits {
    Public,
    Nets(Arc<[IpNet]>),
    /// The operator named the host.
    Any,
}

impl Admits {
    fn admits(&self, address: std::net::IpAddr) -> bool {
        match self {
            Self::Public => address::is_public(address),
            Self::Nets(nets) => nets.iter().any(|net| net.contains(&address)),
            Self::Any => true,
        }
    }
}

/// An address that policy I01 refuses. The text names the host as the tenant wrote it, and no address.
#[derive(Debug, Clone)]
pub(crate) struct AddressRefused {
    pub(crate) host: String,
}

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not on the public internet: registries on private addresses are refused (policy I01)",
            self.host
        )
    }
}

impl std::error::Error for AddressRefused {}

/// In the words of Go's resolver, without the name server's address.
#[derive(Debug, Clone)]
pub(crate) struct LookupFailed {
    pub(crate) host: String,
    pub(crate) timed_out: bool,
}

impl fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lookup {}: {}", self.host, if self.timed_out { "i/o timeout" } else { "no such host" })
    }
}

impl std::error::Error for LookupFailed {}

#[derive(Clone)]
pub(crate) struct Guard {
    admits: Admits,
    lookups: Arc<Semaphore>,
}

impl Guard {
    pub(crate) fn new(admits: Admits) -> Self {
        Self { admits, lookups: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)) }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = lookup(name.as_str(), &guard.lookups).await?;
            if found.iter().all(|a| guard.admits.admits(a.ip())) {
                Ok(Box::new(found.into_iter()) as Addrs)
            } else {
                Err(AddressRefused { host: name.as_str().to_owned() }.into())
            }
        })
    }
}

/// All addresses of a name; never empty.
pub(crate) async fn lookup(host: &str, lookups: &Semaphore) -> Result<Vec<SocketAddr>, LookupFailed> {
    let failed = |timed_out| LookupFailed { host: host.to_owned(), timed_out };
    let look = async {
        let _turn = lookups.acquire().await.map_err(|_| failed(false))?;
        tokio::net::lookup_host((host, 0)).await.map_err(|_| failed(false))
    };
    let found: Vec<_> = tokio::time::timeout(LOOKUP_TIMEOUT, look).await.map_err(|_| failed(true))??.collect();
    if found.is_empty() { Err(failed(false)) } else { Ok(found) }
}
