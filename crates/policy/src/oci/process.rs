//! The process: capabilities, ids, limits.

use std::collections::HashSet;

use domain::{Result, tenant::UID_RANGE};
use oci_spec::runtime::{Capability, Process};

use super::{has_dotdot, refused};
use crate::capabilities::is_ever_allowed;

pub(super) fn check(process: &Process) -> Result<()> {
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(refused("process.args", "missing"));
    }
    let cwd = process.cwd();
    if !cwd.is_absolute() || has_dotdot(cwd) || cwd.starts_with("/proc") || cwd.starts_with("/dev") {
        return Err(refused("process.cwd", cwd.display()));
    }
    let user = process.user();
    let groups = user.additional_gids().iter().flatten().copied();
    if [user.uid(), user.gid()].into_iter().chain(groups).any(|id| id >= UID_RANGE) {
        return Err(refused("process.user", format!("{user:?}")));
    }
    if process.oom_score_adj().is_some_and(|score| score < 0) {
        return Err(refused("process.oomScoreAdj", "negative"));
    }
    // A process without this object would keep all that the runtime has.
    let capabilities = process.capabilities().as_ref().ok_or_else(|| refused("process.capabilities", "missing"))?;
    for set in [
        capabilities.bounding(),
        capabilities.effective(),
        capabilities.inheritable(),
        capabilities.permitted(),
        capabilities.ambient(),
    ] {
        check_set(set.as_ref())?;
    }
    Ok(())
}

fn check_set(set: Option<&HashSet<Capability>>) -> Result<()> {
    match set.into_iter().flatten().map(name).find(|name| !is_ever_allowed(name)) {
        Some(name) => Err(refused("process.capabilities", name)),
        None => Ok(()),
    }
}

/// `CAP_CHOWN`: the crate has it only in the form that goes into the spec.
fn name(capability: &Capability) -> String {
    let json = serde_json::to_value(capability).ok();
    json.as_ref().and_then(|v| v.as_str()).unwrap_or("unknown").to_owned()
}
