//! May this host take it? The checks stand in the order in which a refusal is told: the last one that any host came to
//! names what lacks.

use std::{collections::BTreeSet, iter};

use chrono::{DateTime, Utc};
use domain::{Host, HostId, HostState};
use inventory::Neighbour;

use super::{Request, Tenancy, wish::Wish};

/// Shorter beginnings of ids are not taken for such: `db` is a name that two hexadecimal digits could be.
const ID_PREFIX_MIN: usize = 4;

/// Why a host cannot. The order is the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum No {
    /// A volume is elsewhere.
    Volume,
    Silent,
    Cordoned,
    SharedVolumes,
    VolumeQuotas,
    /// Index into the constraints.
    Constraint(usize),
    /// Index into the affinities.
    Affinity(usize),
    Resources {
        memory: bool,
        cpu: bool,
    },
}

/// What the checks need besides the host, worked out once for all hosts.
pub(super) struct Context<'a> {
    request: &'a Request,
    now: DateTime<Utc>,
    /// For each affinity: the hosts that have a match.
    matched: Vec<BTreeSet<HostId>>,
}

impl<'a> Context<'a> {
    pub(super) fn of(tenancy: &Tenancy, request: &'a Request, now: DateTime<Utc>) -> Self {
        let matched = request.affinities.iter().map(|wish| hosts_with_match(wish, &tenancy.neighbours)).collect();
        Self { request, now, matched }
    }

    /// Hard wishes and resources.
    pub(super) fn judge(&self, host: &Host) -> Result<(), No> {
        let volumes = &self.request.volumes;
        if volumes.pin.as_ref().is_some_and(|(_, at)| *at != host.id) {
            return Err(No::Volume);
        }
        if !host.is_reachable(self.now) {
            return Err(No::Silent);
        }
        if host.state != HostState::Active {
            return Err(No::Cordoned);
        }
        if volumes.shared && !host.facts.shared_volumes {
            return Err(No::SharedVolumes);
        }
        if volumes.quota && !host.facts.volume_quotas {
            return Err(No::VolumeQuotas);
        }
        let broken = |wish: &Wish| !wish.soft && !keeps_constraint(wish, host);
        if let Some(index) = self.request.constraints.iter().position(broken) {
            return Err(No::Constraint(index));
        }
        let affinities = self.request.affinities.iter().enumerate();
        if let Some((index, _)) = affinities.into_iter().find(|(i, w)| !w.soft && !self.keeps_affinity(*i, w, host)) {
            return Err(No::Affinity(index));
        }
        let memory = host.memory_bytes_free >= self.request.memory_bytes;
        let cpu = host.cpu_millis_free >= self.request.cpu_millis;
        if memory && cpu { Ok(()) } else { Err(No::Resources { memory: !memory, cpu: !cpu }) }
    }

    /// Every soft wish, with a test whether a host keeps it.
    pub(super) fn soft_wishes(&self) -> Vec<(&Wish, impl Fn(&Host) -> bool + '_)> {
        let constraints = self.request.constraints.iter().map(|wish| (None, wish));
        let affinities = self.request.affinities.iter().enumerate().map(|(index, wish)| (Some(index), wish));
        constraints
            .chain(affinities)
            .filter(|(_, wish)| wish.soft)
            .map(|(index, wish)| {
                (wish, move |host: &Host| match index {
                    None => keeps_constraint(wish, host),
                    Some(index) => self.keeps_affinity(index, wish, host),
                })
            })
            .collect()
    }

    fn keeps_affinity(&self, index: usize, wish: &Wish, host: &Host) -> bool {
        self.matched[index].contains(&host.id) == wish.equal
    }
}

/// A host without the label keeps `!=` and breaks `==`.
fn keeps_constraint(wish: &Wish, host: &Host) -> bool {
    let value = match wish.key.as_str() {
        "arch" => Some(host.facts.architecture.as_str()),
        "ostype" => Some("linux"),
        "kernelversion" => Some(host.facts.kernel_version.as_str()),
        label => host.facts.labels.get(label).map(String::as_str),
    };
    wish.is_kept(value.into_iter())
}

fn hosts_with_match(wish: &Wish, neighbours: &[Neighbour]) -> BTreeSet<HostId> {
    let matching = |test: &dyn Fn(&Neighbour) -> bool| neighbours.iter().filter(|n| test(n)).map(|n| n.host).collect();
    let matches = |value: &str| wish.pattern.matches(value);
    match wish.key.as_str() {
        "container" => {
            let exact: BTreeSet<_> = matching(&|n| matches(n.name.as_str()) || matches(n.id.as_str()));
            // As in every look-up: a prefix counts only where nothing has that very name.
            match wish.pattern.exact() {
                Some(prefix) if exact.is_empty() && prefix.len() >= ID_PREFIX_MIN => {
                    matching(&|n| n.id.as_str().starts_with(prefix))
                }
                _ => exact,
            }
        }
        "image" => matching(&|n| image_names(n).any(|name| matches(&name))),
        label => matching(&|n| n.labels.get(label).is_some_and(|value| matches(value))),
    }
}

/// As written, with the tag that is meant, and the id with and without the algorithm's name.
fn image_names(neighbour: &Neighbour) -> impl Iterator<Item = String> {
    let written = neighbour.image_reference.clone();
    let tagged = written.parse::<domain::ImageRef>().ok().map(|r| r.with_default_tag());
    let untagged = tagged.as_ref().filter(|r| r.tag() == Some("latest")).map(|r| r.familiar_name());
    iter::once(written)
        .chain(tagged.map(|r| r.to_string()))
        .chain(untagged)
        .chain([neighbour.image_id.to_string(), neighbour.image_id.hex().to_owned()])
}
