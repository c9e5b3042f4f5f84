//! The order among hosts that all may. The fields of [`Score`] in their order *are* the policy; less is better.

use std::{cmp::Reverse, collections::BTreeMap};

use domain::{Host, HostId};
use rand::Rng;

use super::{Request, Tenancy};

/// A host's part of a whole that we compare in, so that memory and CPU have one scale.
const SHARES: i64 = 1000;
/// Free shares that count as equal: a best fit to the byte would only herd.
const STEP: i64 = 50;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    /// Spread over zones first: the tenant's containers in the host's zone,
    tenant_in_zone: i64,
    /// then over hosts.
    tenant_on_host: i64,
    /// The image's layers are probably there.
    image_is_here: Reverse<bool>,
    /// Best fit: what stays free on the host, in steps of its size.
    free_after: i64,
    /// Several schedulers must not herd.
    tie: u32,
}

/// Best first. `all` are the hosts of the data centre: a zone counts also by its hosts that cannot take this one.
pub(super) fn order(
    kept: Vec<&Host>,
    all: &[Host],
    tenancy: &Tenancy,
    request: &Request,
    random: &mut impl Rng,
) -> Vec<HostId> {
    let mut in_zone = BTreeMap::<&str, i64>::new();
    for host in all {
        *in_zone.entry(zone(host)).or_default() += tenancy.presence.get(&host.id).map_or(0, |p| p.containers);
    }
    let mut scored: Vec<_> = kept
        .into_iter()
        .map(|host| {
            let here = tenancy.presence.get(&host.id).copied().unwrap_or_default();
            let score = Score {
                tenant_in_zone: in_zone.get(zone(host)).copied().unwrap_or(0),
                tenant_on_host: here.containers,
                image_is_here: Reverse(here.has_image),
                free_after: free_after(host, request) / STEP,
                tie: random.random(),
            };
            (score, host.id)
        })
        .collect();
    scored.sort_unstable();
    scored.into_iter().map(|(_, id)| id).collect()
}

/// Hosts without the label are one zone.
fn zone(host: &Host) -> &str {
    host.facts.labels.get("zone").map_or("", String::as_str)
}

/// The larger of the free shares of memory and CPU that stay.
fn free_after(host: &Host, request: &Request) -> i64 {
    let share = |free: i64, wanted: i64, whole: i64| {
        i64::try_from(i128::from(free - wanted) * i128::from(SHARES) / i128::from(whole.max(1))).unwrap_or(SHARES)
    };
    let memory = share(host.memory_bytes_free, request.memory_bytes, host.facts.memory_bytes);
    let cpu = share(host.cpu_millis_free, request.cpu_millis, host.facts.cpu_millis);
    memory.max(cpu)
}
