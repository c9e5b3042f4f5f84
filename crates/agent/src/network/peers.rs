//! The containers of a network that are on other hosts: where their frames go, whose VXLAN packets come in, and what they
//! are called.
//!
//! Nothing is learned and nothing flooded: schedulers give the full list with a generation, and the difference to what is
//! there is applied. A container that starts elsewhere is announced before its client hears of it; such a one outlives the
//! full lists of the next seconds, which may be older than its start. ARP for a peer is answered by the VXLAN device itself
//! (`proxy`), and so is neighbour discovery, for its link-local address too.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{Ipv4Addr, Ipv6Addr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{ContainerId, Result};

use super::{
    host::Host,
    paths::{Path, found, program},
    router::Router,
    source::Listing,
};
use crate::dns::{Addresses, Names};

/// How long an announcement holds against a list that lacks it.
const ANNOUNCED: Duration = Duration::from_secs(10);

/// A container on another host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    pub container: ContainerId,
    pub address: Ipv4Addr,
    pub ipv6: Option<Ipv6Addr>,
    pub mac: [u8; 6],
    /// Underlay address of its host.
    pub vtep: Ipv4Addr,
    /// Container name and aliases.
    pub names: Vec<String>,
    /// Only then do its names resolve.
    pub running: bool,
}

/// What is known of the networks that are on this host.
#[derive(Default)]
pub(super) struct Peers {
    known: Mutex<HashMap<u32, Known>>,
    /// Changes of one network's kernel state happen one after the other.
    turn: tokio::sync::Mutex<()>,
    /// Every network has been listed since this agent began. Before, nobody that an earlier agent let in is shut out.
    settled: AtomicBool,
}

#[derive(Default)]
struct Known {
    name: String,
    generation: u64,
    listed: BTreeMap<ContainerId, Peer>,
    /// What this host's own containers are called; the sandbox was given the name that the container was made with.
    own: BTreeMap<ContainerId, String>,
    announced: BTreeMap<ContainerId, (Peer, Instant)>,
    /// None: not looked at since this agent began.
    programmed: Option<BTreeSet<Path>>,
}

impl Known {
    /// The list, and on top of it what was announced lately.
    fn wanted(&mut self) -> BTreeMap<ContainerId, Peer> {
        let Self { listed, announced, generation, .. } = self;
        announced.retain(|id, (peer, at)| {
            let confirmed = listed.get(id).is_some_and(|l| l.running);
            let expired = at.elapsed() >= ANNOUNCED;
            // Nobody confirmed it: the start has failed, or the list is older. The next list tells.
            if expired && !confirmed {
                *generation = 0;
            }
            let moved = confirmed && listed.get(id).is_some_and(|l| l.vtep != peer.vtep);
            !expired && (!confirmed || moved)
        });
        let mut wanted = listed.clone();
        wanted.extend(announced.iter().map(|(id, (peer, _))| (id.clone(), peer.clone())));
        wanted
    }
}

impl Peers {
    /// How far the network is known; 0 = not at all.
    pub(super) fn generation(&self, vni: u32) -> u64 {
        let mut known = self.lock();
        known.get_mut(&vni).map_or(0, |k| {
            k.wanted(); // lets announcements that nobody confirmed run out
            k.generation
        })
    }

    /// The router is gone, and what was programmed with it.
    pub(super) fn forget(&self, vni: u32) {
        self.lock().remove(&vni);
    }

    /// A full list. An older generation than the last is ignored.
    pub(super) fn list(&self, listing: Listing) {
        let Listing { vni, name, generation, peers, own } = listing;
        let mut known = self.lock();
        let known = known.entry(vni).or_default();
        if generation < known.generation {
            return;
        }
        (known.generation, known.name) = (generation, name);
        known.listed = peers.into_iter().map(|p| (p.container.clone(), p)).collect();
        known.own = own.into_iter().collect();
    }

    /// Makes DNS answer the name that a container of this host has now, if a list has told it. The lock is held meanwhile,
    /// or the name of an older list might be written over that of a newer one.
    pub(super) fn correct(&self, names: &Names, vni: u32, container: &ContainerId) {
        let known = self.lock();
        if let Some(name) = known.get(&vni).and_then(|known| known.own.get(container)) {
            names.rename(vni, container, name);
        }
    }

    /// As [`Peers::correct`], for all of them.
    fn correct_all(&self, names: &Names, vni: u32) {
        let known = self.lock();
        for (container, name) in known.get(&vni).into_iter().flat_map(|known| &known.own) {
            names.rename(vni, container, name);
        }
    }

    /// Some that have just come, also where the network is not yet here: its first container may be on its way.
    pub(super) fn announce(&self, vni: u32, name: &str, peers: Vec<Peer>) {
        let mut known = self.lock();
        let known = known.entry(vni).or_default();
        known.name = name.to_owned();
        known.announced.extend(peers.into_iter().map(|p| (p.container.clone(), (p, Instant::now()))));
    }

    /// Makes kernel and DNS say what is known.
    pub(super) async fn apply(&self, host: &Host, router: &Router, names: &Names) -> Result<()> {
        let _turn = self.turn.lock().await;
        let (name, wanted, programmed, listed) = {
            let mut known = self.lock();
            let Some(known) = known.get_mut(&router.vni) else { return Ok(()) };
            (known.name.clone(), known.wanted(), known.programmed.clone(), known.generation > 0)
        };
        // An earlier agent's work is taken from the kernel, once.
        let present = match programmed {
            Some(present) => present,
            None => found(router).await?,
        };
        let ipv6 = |p: &Peer| p.ipv6.filter(|_| router.has_ipv6());
        let path = |p: &Peer| Path { address: p.address, ipv6: ipv6(p), mac: p.mac, vtep: p.vtep };
        let mut paths: BTreeSet<Path> = wanted.values().map(path).collect();
        if !listed {
            // Only some are known yet: nobody is cut off for that.
            let kept = present.iter().filter(|old| !paths.iter().any(|new| new.address == old.address)).copied();
            paths.extend(kept.collect::<Vec<_>>());
        }
        if paths != present {
            program(host, router, &present, &paths).await?;
            if let Some(known) = self.lock().get_mut(&router.vni) {
                known.programmed = Some(paths);
            }
            self.keep_vteps(host)?;
        }
        let running = wanted.into_values().filter(|p| p.running);
        let place = |p: &Peer| Addresses { v4: p.address, v6: p.ipv6 };
        names.set_remote(router.vni, &name, running.map(|p| (p.container.clone(), place(&p), p.names)));
        self.correct_all(names, router.vni);
        Ok(())
    }

    /// From now on only hosts that share a network with this one may send; those that an earlier agent let in are checked.
    pub(super) async fn settle(&self, host: &Host) -> Result<()> {
        self.settled.store(true, Ordering::Relaxed);
        self.shut_out(host).await
    }

    /// Hosts that share no network with this one any more send nothing more.
    pub(super) async fn shut_out(&self, host: &Host) -> Result<()> {
        let _turn = self.turn.lock().await;
        self.keep_vteps(host)
    }

    fn keep_vteps(&self, host: &Host) -> Result<()> {
        if !self.settled.load(Ordering::Relaxed) {
            return Ok(());
        }
        let known = self.lock();
        let paths = known.values().filter_map(|k| k.programmed.as_ref()).flatten();
        host.keep_vteps(&paths.map(|path| path.vtep).collect())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: &ContainerId, running: bool) -> Peer {
        Peer {
            container: id.clone(),
            address: Ipv4Addr::new(10, 0, 0, 9),
            ipv6: None,
            mac: [2, 0x42, 10, 0, 0, 9],
            vtep: Ipv4Addr::new(10, 90, 0, 12),
            names: vec!["web".into()],
            running,
        }
    }

    fn listing(generation: u64, peers: Vec<Peer>) -> Listing {
        Listing { vni: 7, name: "net".into(), generation, peers, own: Vec::new() }
    }

    #[test]
    fn an_announcement_outlives_a_list_that_is_older_and_yields_to_one_that_has_it() {
        let (peers, id) = (Peers::default(), ContainerId::random());
        peers.announce(7, "net", vec![peer(&id, true)]);
        peers.list(listing(3, vec![peer(&id, false)]));
        assert!(peers.lock().get_mut(&7).unwrap().wanted()[&id].running);
        assert_eq!(peers.generation(7), 3);
        peers.list(listing(2, vec![]));
        assert_eq!(peers.lock().get_mut(&7).unwrap().wanted().len(), 1, "an older list changes nothing");
        peers.list(listing(4, vec![peer(&id, true)]));
        assert!(peers.lock().get_mut(&7).unwrap().wanted().len() == 1 && peers.lock()[&7].announced.is_empty());
        peers.list(listing(5, vec![peer(&id, false)]));
        assert!(!peers.lock().get_mut(&7).unwrap().wanted()[&id].running, "it has ended since");
    }
}
