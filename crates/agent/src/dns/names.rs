//! Which names each network knows, and who may ask for them.
//!
//! A container sees the names of the networks that it is in, nothing else: tenants' networks have different VNIs.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use domain::{ContainerId, Endpoint};
use rand::seq::SliceRandom;

type Vni = u32;

/// Where a container is in one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) v4: Ipv4Addr,
    /// Of networks that have IPv6.
    pub(crate) v6: Option<Ipv6Addr>,
}

impl Addresses {
    fn have(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4 == address,
            IpAddr::V6(address) => self.v6 == Some(address),
        }
    }
}

/// One container in one network.
#[derive(Debug, Clone)]
struct Entry {
    addresses: Addresses,
    network: String,
    /// Lower case; the first is the container's name, which a reverse look-up shows.
    names: Vec<String>,
    /// On another host.
    remote: bool,
}

/// The names of all networks on this host.
#[derive(Debug, Default)]
pub(crate) struct Names(RwLock<HashMap<Vni, BTreeMap<ContainerId, Entry>>>);

impl Names {
    /// Makes the container known in its networks, under `name`, its aliases and its short id.
    pub(crate) fn insert(&self, id: &ContainerId, name: &str, endpoints: &[Endpoint]) {
        let mut networks = self.write();
        for endpoint in endpoints {
            let known = [name].into_iter().chain(endpoint.aliases.iter().map(String::as_str)).chain([id.short()]);
            let entry = Entry {
                addresses: Addresses { v4: endpoint.address, v6: endpoint.ipv6.map(|v6| v6.address) },
                network: endpoint.network_name.to_ascii_lowercase(),
                names: known.map(str::to_ascii_lowercase).collect(),
                remote: false,
            };
            networks.entry(endpoint.vni).or_default().insert(id.clone(), entry);
        }
    }

    /// From now on a container of this host is called `name` in the network. Not there: nothing.
    pub(crate) fn rename(&self, vni: Vni, id: &ContainerId, name: &str) {
        let mut networks = self.write();
        let entry = networks.get_mut(&vni).and_then(|containers| containers.get_mut(id)).filter(|entry| !entry.remote);
        if let Some(first) = entry.and_then(|entry| entry.names.first_mut()) {
            *first = name.to_ascii_lowercase();
        }
    }

    /// Makes these the containers of the network that run on other hosts. What is here stays.
    pub(crate) fn set_remote(
        &self,
        vni: Vni,
        network: &str,
        containers: impl Iterator<Item = (ContainerId, Addresses, Vec<String>)>,
    ) {
        let mut networks = self.write();
        let known = networks.entry(vni).or_default();
        known.retain(|_, entry| !entry.remote);
        for (id, addresses, names) in containers {
            let short = id.short().to_owned();
            let names = names.into_iter().chain([short]).map(|n| n.to_ascii_lowercase()).collect();
            let entry = Entry { addresses, network: network.to_ascii_lowercase(), names, remote: true };
            known.entry(id).or_insert(entry);
        }
        if known.is_empty() {
            networks.remove(&vni);
        }
    }

    /// The container has left one network.
    pub(crate) fn leave(&self, id: &ContainerId, vni: Vni) {
        if let Some(containers) = self.write().get_mut(&vni) {
            containers.remove(id);
        }
    }

    pub(crate) fn remove(&self, id: &ContainerId) {
        self.write().retain(|_, containers| {
            containers.remove(id);
            !containers.is_empty()
        });
    }

    /// The addresses of `name` or `name.network`, in random order; `None` if no network of `vnis` knows it.
    pub(crate) fn addresses(&self, vnis: &[u32], name: &str) -> Option<Vec<Addresses>> {
        let name = name.to_ascii_lowercase();
        let networks = self.read();
        let entries = vnis.iter().filter_map(|vni| networks.get(vni)).flat_map(BTreeMap::values);
        let mut found: Vec<Addresses> = entries.filter(|e| e.answers(&name)).map(|e| e.addresses).collect();
        found.shuffle(&mut rand::rng());
        (!found.is_empty()).then_some(found)
    }

    /// `name.network` of an address in one of the networks.
    pub(crate) fn reverse(&self, vnis: &[u32], address: IpAddr) -> Option<String> {
        let networks = self.read();
        let mut entries = vnis.iter().filter_map(|vni| networks.get(vni)).flat_map(BTreeMap::values);
        let entry = entries.find(|e| e.addresses.have(address))?;
        Some(format!("{}.{}", entry.names.first()?, entry.network))
    }

    // Nothing panics while it holds the lock, and each change is whole: a poisoned lock is as good as new.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<Vni, BTreeMap<ContainerId, Entry>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Vni, BTreeMap<ContainerId, Entry>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn answers(&self, name: &str) -> bool {
        let own = |n: &str| self.names.iter().any(|known| known == n);
        own(name) || name.strip_suffix(&self.network).and_then(|n| n.strip_suffix('.')).is_some_and(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(vni: u32, address: &str, aliases: &[&str]) -> Endpoint {
        Endpoint {
            network: domain::NetworkId::random(),
            network_name: "net1".into(),
            vni,
            subnet: "10.1.0.0/24".parse().unwrap(),
            gateway: "10.1.0.1".parse().unwrap(),
            address: address.parse().unwrap(),
            ipv6: None,
            mac: String::new(),
            interface: "eth0".into(),
            mtu: 1450,
            internal: false,
            aliases: aliases.iter().map(|a| a.to_string()).collect(),
            endpoint_id: String::new(),
        }
    }

    #[test]
    fn a_name_is_known_in_its_network_only() {
        let names = Names::default();
        let id = ContainerId::random();
        names.insert(&id, "Web", &[endpoint(7, "10.1.0.2", &["db"])]);
        let address = Some(vec![Addresses { v4: Ipv4Addr::new(10, 1, 0, 2), v6: None }]);
        for known in ["web", "WEB", "db", "db.net1", id.short()] {
            assert_eq!(names.addresses(&[7], known), address, "{known}");
        }
        assert_eq!(names.addresses(&[8], "web"), None);
        assert_eq!(names.addresses(&[7], "web.net2"), None);
        assert_eq!(names.reverse(&[7], Ipv4Addr::new(10, 1, 0, 2).into()).as_deref(), Some("web.net1"));
        names.remove(&id);
        assert_eq!(names.addresses(&[7], "web"), None);
    }

    #[test]
    fn a_renamed_container_keeps_its_aliases_and_its_short_id() {
        let (names, id) = (Names::default(), ContainerId::random());
        names.insert(&id, "web", &[endpoint(7, "10.1.0.2", &["db"])]);
        names.rename(7, &id, "Front");
        for known in ["front", "front.net1", "db", id.short()] {
            assert!(names.addresses(&[7], known).is_some(), "{known}");
        }
        assert_eq!(names.addresses(&[7], "web"), None);
        assert_eq!(names.reverse(&[7], Ipv4Addr::new(10, 1, 0, 2).into()).as_deref(), Some("front.net1"));
        names.rename(8, &id, "elsewhere");
        assert_eq!(names.addresses(&[7, 8], "elsewhere"), None);
    }

    #[test]
    fn containers_of_other_hosts_come_and_go_as_a_whole() {
        let (names, here, there) = (Names::default(), ContainerId::random(), ContainerId::random());
        names.insert(&here, "web", &[endpoint(7, "10.1.0.2", &[])]);
        let away = Addresses { v4: Ipv4Addr::new(10, 1, 0, 9), v6: None };
        names.set_remote(7, "Net1", [(there.clone(), away, vec!["db".to_owned()])].into_iter());
        assert_eq!(names.addresses(&[7], "db.net1"), Some(vec![away]));
        assert_eq!(names.addresses(&[7], there.short()), Some(vec![away]));
        names.set_remote(7, "net1", std::iter::empty());
        assert!(names.addresses(&[7], "db").is_none() && names.addresses(&[7], "web").is_some());
    }
}
