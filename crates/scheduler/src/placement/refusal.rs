//! No host may take it: one sentence for the tenant, every host's reason for operators.

use domain::{
    Error, HostId,
    amount::{bytes, cpus},
};

use super::{Request, filter::No};

#[derive(Debug)]
pub(crate) struct Refusal {
    message: String,
    /// For operators.
    pub(crate) reasons: Vec<(HostId, String)>,
}

impl Refusal {
    pub(super) fn of(reasons: Vec<(HostId, No)>, request: &Request) -> Self {
        let message = message(&reasons, request);
        Self { message, reasons: reasons.into_iter().map(|(host, no)| (host, operator_text(no, request))).collect() }
    }

    pub(crate) fn into_error(self) -> Error {
        Error::NoCapacity(self.message)
    }
}

/// Of the check that came last: the hosts that stumbled earlier were no candidates for it.
fn message(reasons: &[(HostId, No)], request: &Request) -> String {
    let Some(last) = reasons.iter().map(|(_, no)| *no).max() else {
        return "no host is available".to_owned();
    };
    if let Some((volume, _)) = &request.volumes.pin {
        return of_volumes_host(volume, last, request);
    }
    match last {
        No::Volume | No::Silent | No::Cordoned => "no host is available".to_owned(),
        No::SharedVolumes => "no host is available that has volumes of the driver shared".to_owned(),
        No::VolumeQuotas => "no host is available that has quotas of volumes".to_owned(),
        No::Constraint(index) => format!("no host satisfies the {}", request.constraints[index]),
        No::Affinity(index) => format!("no host satisfies the {}", request.affinities[index]),
        No::Resources { .. } => format!("no host{} has {}", that_satisfies(request), lacking(reasons, request)),
    }
}

/// Only one host has a chance; tenants know it as the place of their volume.
fn of_volumes_host(volume: &str, no: No, request: &Request) -> String {
    let why = match no {
        No::Volume => "is gone".to_owned(),
        No::Silent => "is unreachable".to_owned(),
        No::Cordoned => "takes no new containers now".to_owned(),
        No::SharedVolumes => "has no volumes of the driver shared".to_owned(),
        No::VolumeQuotas => "has no quotas of volumes".to_owned(),
        No::Constraint(index) => format!("does not satisfy the {}", request.constraints[index]),
        No::Affinity(index) => format!("does not satisfy the {}", request.affinities[index]),
        No::Resources { memory: true, .. } => format!("has not {} of free memory", bytes(request.memory_bytes)),
        No::Resources { .. } => format!("has not {} free CPUs", cpus(request.cpu_millis)),
    };
    format!("the host of volume {volume} {why}")
}

/// What every host with a chance lacks; both where each lacks one of the two.
fn lacking(reasons: &[(HostId, No)], request: &Request) -> String {
    let (memory, cpu) = (bytes(request.memory_bytes), cpus(request.cpu_millis));
    let every = |test: fn(bool, bool) -> bool| {
        reasons.iter().all(|(_, no)| match no {
            No::Resources { memory, cpu } => test(*memory, *cpu),
            _ => true,
        })
    };
    if every(|memory, _| memory) {
        format!("{memory} of free memory")
    } else if every(|_, cpu| cpu) {
        format!("{cpu} free CPUs")
    } else {
        format!("{memory} of free memory and {cpu} free CPUs together")
    }
}

fn that_satisfies(request: &Request) -> String {
    let hard: Vec<_> =
        request.constraints.iter().chain(&request.affinities).filter(|w| !w.soft).map(ToString::to_string).collect();
    if hard.is_empty() { String::new() } else { format!(" that satisfies the {}", hard.join(" and the ")) }
}

fn operator_text(no: No, request: &Request) -> String {
    match no {
        No::Volume => "a volume is elsewhere".to_owned(),
        No::Silent => "silent".to_owned(),
        No::Cordoned => "cordoned".to_owned(),
        No::SharedVolumes => "no shared volumes".to_owned(),
        No::VolumeQuotas => "no project quotas".to_owned(),
        No::Constraint(index) => request.constraints[index].to_string(),
        No::Affinity(index) => request.affinities[index].to_string(),
        No::Resources { memory, cpu } => match (memory, cpu) {
            (true, true) => "memory and cpu".to_owned(),
            (true, false) => "memory".to_owned(),
            (false, _) => "cpu".to_owned(),
        },
    }
}
