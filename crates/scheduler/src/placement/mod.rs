//! Placement: which hosts may take a container, and in which order they should. Pure and in memory.
//!
//! `filter` says no and why, `soft` drops wishes that cannot be kept, `score` orders what is left. Nothing here knows a
//! database; what it decides is a proposal.

mod filter;
mod pattern;
mod refusal;
mod score;
mod soft;
#[cfg(test)]
mod tests;
mod wish;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{Host, HostId, NewContainer, Result, VolumeDriver};
use inventory::{Neighbour, Presence, VolumePlace};
use rand::Rng;

pub(crate) use refusal::Refusal;
use wish::Wish;

/// What a container asks of its host.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) cpu_millis: i64,
    pub(crate) memory_bytes: i64,
    pub(crate) constraints: Vec<Wish>,
    pub(crate) affinities: Vec<Wish>,
    pub(crate) volumes: Volumes,
}

/// What the container's volumes ask of its host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Volumes {
    /// A volume that is on a host already, and that host: no other will do.
    pub(crate) pin: Option<(String, HostId)>,
    /// One is of the driver `shared`.
    pub(crate) shared: bool,
    /// One that has yet to be made has a size.
    pub(crate) quota: bool,
}

impl Volumes {
    /// `Conflict` where two are on different hosts.
    pub(crate) fn of(places: &[VolumePlace]) -> Result<Self> {
        let mut pinned = places.iter().filter_map(|v| Some((v.name.as_str(), v.host?)));
        let pin = pinned.next();
        if let Some((first, host)) = pin
            && let Some((other, _)) = pinned.find(|(_, h)| *h != host)
        {
            return Err(inventory::apart(first, other));
        }
        Ok(Self {
            pin: pin.map(|(name, host)| (name.to_owned(), host)),
            shared: places.iter().any(|v| v.driver == VolumeDriver::Shared),
            quota: places.iter().any(|v| v.size_bytes.is_some() && v.host.is_none()),
        })
    }
}

/// The tenant as it is now. `neighbours` is filled only where there are affinities.
#[derive(Debug, Default)]
pub(crate) struct Tenancy {
    pub(crate) presence: BTreeMap<HostId, Presence>,
    pub(crate) neighbours: Vec<Neighbour>,
}

/// Best first.
#[derive(Debug)]
pub(crate) struct Ranking {
    pub(crate) hosts: Vec<HostId>,
    /// Soft wishes that had to be dropped.
    pub(crate) warnings: Vec<String>,
}

impl Request {
    /// `Invalid` names the wish that is not of the grammar.
    pub(crate) fn of(new: &NewContainer) -> Result<Self> {
        let parse = |wishes: &[String], kind| wishes.iter().map(|text| Wish::parse(text, kind)).collect::<Result<_>>();
        Ok(Self {
            cpu_millis: new.spec.resources.cpu_millis,
            memory_bytes: new.spec.resources.memory_bytes,
            constraints: parse(&new.constraints, "constraint")?,
            affinities: parse(&new.affinities, "affinity")?,
            volumes: Volumes::default(),
        })
    }
}

/// The hosts that may take it, best first; never empty.
pub(crate) fn rank(
    hosts: &[Host],
    tenancy: &Tenancy,
    request: &Request,
    now: DateTime<Utc>,
    random: &mut impl Rng,
) -> Result<Ranking, Refusal> {
    let context = filter::Context::of(tenancy, request, now);
    let mut reasons = Vec::new();
    let mut fit = Vec::new();
    for host in hosts {
        match context.judge(host) {
            Ok(()) => fit.push(host),
            Err(no) => reasons.push((host.id, no)),
        }
    }
    if fit.is_empty() {
        return Err(Refusal::of(reasons, request));
    }
    let (kept, warnings) = soft::narrow(fit, &context);
    Ok(Ranking { hosts: score::order(kept, hosts, tenancy, request, random), warnings })
}
