//! Every address that is known, with its listeners.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Error, Protocol, Result};
use rpc::v1;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::listener::{Listener, Target};

pub(crate) struct Table {
    api_port: u16,
    frontends: Vec<SocketAddr>,
    addresses: Mutex<HashMap<IpAddr, Address>>,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Address {
    generation: u64,
    wanted: BTreeMap<(Protocol, u16), Target>,
    /// Of the wanted ones, those that could be opened.
    listeners: HashMap<(Protocol, u16), Listener>,
}

impl Table {
    pub(crate) fn new(api_port: u16, frontends: Vec<SocketAddr>) -> Self {
        Self { api_port, frontends, addresses: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// How far each address is known.
    pub(crate) fn known(&self) -> Vec<v1::AddressVersion> {
        let version = |(address, known): (&IpAddr, &Address)| v1::AddressVersion {
            address: address.to_string(),
            generation: known.generation,
        };
        self.lock().iter().map(version).collect()
    }

    /// Makes these the ports of the address, unless a newer list is known.
    ///
    /// # Errors
    /// `Invalid` for what is no list of ports, `Conflict` when somebody else on this machine has one of them; the others
    /// are served.
    pub(crate) fn apply(&self, list: &v1::PublishedAddress) -> Result<()> {
        let ip = list.address.parse().map_err(|_| Error::invalid(format!("not an address: {:?}", list.address)))?;
        let mut wanted = self.read(list)?;
        wanted.insert((Protocol::Tcp, self.api_port), Target::Frontends(self.frontends.clone().into()));
        let mut addresses = self.lock();
        let address = addresses.entry(ip).or_default();
        if list.generation <= address.generation {
            return Ok(());
        }
        (address.generation, address.wanted) = (list.generation, wanted);
        let wanted = &address.wanted;
        address.listeners.retain(|key, listener| match wanted.get(key) {
            Some(target) if target != listener.target() => {
                listener.lead_to(target.clone(), &self.tasks);
                true
            }
            other => other.is_some(),
        });
        self.open(ip, address)
    }

    fn read(&self, list: &v1::PublishedAddress) -> Result<BTreeMap<(Protocol, u16), Target>> {
        let mut wanted = BTreeMap::new();
        for port in &list.ports {
            let number = u16::try_from(port.port).map_err(|_| Error::invalid(format!("not a port: {}", port.port)))?;
            let to = port.target.parse().map_err(|_| Error::invalid(format!("not a target: {:?}", port.target)))?;
            wanted.insert((port.protocol.parse()?, number), Target::Host { to, proxy_header: port.proxy_protocol });
        }
        Ok(wanted)
    }

    /// Opens what is wanted and not there.
    fn open(&self, ip: IpAddr, address: &mut Address) -> Result<()> {
        let mut outcome = Ok(());
        for (key, target) in &address.wanted {
            if address.listeners.contains_key(key) {
                continue;
            }
            match Listener::open(SocketAddr::new(ip, key.1), key.0, target.clone(), &self.tasks) {
                Ok(listener) => drop(address.listeners.insert(*key, listener)),
                // A frontend on this machine may listen on the wildcard: then it answers itself.
                Err(error) if key.1 == self.api_port => {
                    tracing::debug!(%ip, error = error.operator_text(), "the API's port is somebody else's here");
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Opens what could not be opened before.
    pub(crate) fn try_again(&self) -> Result<()> {
        let mut outcome = Ok(());
        // One that cannot be opened must not keep the others back.
        for (ip, address) in self.lock().iter_mut() {
            outcome = self.open(*ip, address).and(outcome);
        }
        outcome
    }

    /// Addresses that are nobody's any more.
    pub(crate) fn forget(&self, gone: &[String]) {
        let mut addresses = self.lock();
        for address in gone.iter().filter_map(|text| text.parse::<IpAddr>().ok()) {
            addresses.remove(&address);
        }
    }

    /// Listens no more, and lets connections come to their end for so long.
    pub(crate) async fn drain(&self, patience: Duration) {
        let addresses = std::mem::take(&mut *self.lock());
        let listeners: Vec<Listener> = addresses.into_values().flat_map(|a| a.listeners.into_values()).collect();
        listeners.iter().for_each(Listener::close);
        self.tasks.close();
        let _ = timeout(patience, self.tasks.wait()).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Address>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shared, since each address has it.
pub(crate) type Frontends = Arc<[SocketAddr]>;
