//! P24: restart policies, with dockerd's own checks and words.

use docker_api::types::{RestartPolicy as Wire, RestartPolicyNameEnum as Name};
use domain::{Error, Result, spec::RestartPolicy};

pub(crate) fn resolve(given: Option<&Wire>) -> Result<RestartPolicy> {
    let Some(Wire { name, maximum_retry_count }) = given else { return Ok(RestartPolicy::No) };
    let retries = maximum_retry_count.unwrap_or(0);
    if retries < 0 {
        return Err(Error::invalid("invalid restart policy: maximum retry count cannot be negative"));
    }
    let policy = match name.unwrap_or(Name::EMPTY) {
        Name::ON_FAILURE => {
            return Ok(RestartPolicy::OnFailure { max_retries: u32::try_from(retries).unwrap_or(u32::MAX) });
        }
        Name::EMPTY | Name::NO => RestartPolicy::No,
        Name::ALWAYS => RestartPolicy::Always,
        Name::UNLESS_STOPPED => RestartPolicy::UnlessStopped,
    };
    if retries != 0 {
        return Err(Error::invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'"));
    }
    Ok(policy)
}

/// With `--rm` beside it.
pub(crate) fn with_auto_remove(policy: RestartPolicy, auto_remove: bool) -> Result<RestartPolicy> {
    if auto_remove && policy != RestartPolicy::No {
        return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    Ok(policy)
}

/// As `inspect` shows it.
pub(crate) fn shown(policy: RestartPolicy) -> Wire {
    let (name, retries) = match policy {
        RestartPolicy::No => (Name::NO, 0),
        RestartPolicy::Always => (Name::ALWAYS, 0),
        RestartPolicy::UnlessStopped => (Name::UNLESS_STOPPED, 0),
        RestartPolicy::OnFailure { max_retries } => (Name::ON_FAILURE, i64::from(max_retries)),
    };
    Wire { name: Some(name), maximum_retry_count: Some(retries) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_round_trip_and_counts_belong_to_on_failure() {
        for policy in [RestartPolicy::No, RestartPolicy::Always, RestartPolicy::OnFailure { max_retries: 2 }] {
            assert_eq!(resolve(Some(&shown(policy))).expect("round trip"), policy);
        }
        let count = |name, n| resolve(Some(&Wire { name: Some(name), maximum_retry_count: Some(n) }));
        assert!(count(Name::ALWAYS, 1).is_err() && count(Name::ON_FAILURE, -1).is_err());
        assert!(with_auto_remove(RestartPolicy::Always, true).is_err());
    }
}
