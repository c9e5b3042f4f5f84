//! R07: resource limits of processes (`setrlimit(2)`), in Docker's lower-case names.

use docker_api::types::ResourcesUlimits;
use domain::{Error, Result, spec::Rlimit};

use crate::{
    Package,
    refuse::{forbidden, malformed},
};

const MIB: u64 = 1 << 20;
const FIELD: &str = "HostConfig.Ulimits";
/// Linux has these; they reach beyond the container or overlap with its cgroup.
const REFUSED: [&str; 11] =
    ["as", "cpu", "data", "fsize", "locks", "msgqueue", "nice", "rss", "rtprio", "rttime", "sigpending"];

pub(crate) fn all(given: &[ResourcesUlimits], package: &Package, warnings: &mut Vec<String>) -> Result<Vec<Rlimit>> {
    let mut limits: Vec<Rlimit> = Vec::new();
    for one in given {
        let limit = resolve(one, package, warnings)?;
        if limits.iter().any(|l| l.name == limit.name) {
            return Err(malformed(FIELD, limit.name, "given twice", "R07"));
        }
        limits.push(limit);
    }
    Ok(limits)
}

fn resolve(given: &ResourcesUlimits, package: &Package, warnings: &mut Vec<String>) -> Result<Rlimit> {
    let ResourcesUlimits { name, soft, hard } = given;
    let name = name.clone().unwrap_or_default();
    let max = max(&name, package)?;
    let soft = number(&name, soft.unwrap_or(0))?;
    let hard = number(&name, hard.unwrap_or(0))?;
    if soft > hard {
        return Err(Error::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    if hard > max {
        warnings.push(format!("{FIELD}: {name} was lowered to {max}, the most that is allowed here (policy R07)"));
    }
    Ok(Rlimit { name, soft: soft.min(max), hard: hard.min(max) })
}

fn max(name: &str, package: &Package) -> Result<u64> {
    match name {
        "nofile" => Ok(1_048_576),
        "nproc" => Ok(package.pids_max.unsigned_abs()),
        "core" => Ok(0),
        "memlock" | "stack" => Ok(64 * MIB),
        refused if REFUSED.contains(&refused) => Err(forbidden(FIELD, name, "R07")),
        _ => Err(malformed(FIELD, name, "unknown ulimit", "R07")),
    }
}

/// As `inspect` shows them: those that hold.
pub(crate) fn shown(limits: &[Rlimit]) -> Vec<ResourcesUlimits> {
    let number = |value: u64| Some(i64::try_from(value).unwrap_or(-1));
    let one = |l: &Rlimit| ResourcesUlimits { name: Some(l.name.clone()), soft: number(l.soft), hard: number(l.hard) };
    limits.iter().map(one).collect()
}

/// -1 is "unlimited".
fn number(name: &str, value: i64) -> Result<u64> {
    match value {
        -1 => Ok(u64::MAX),
        v => u64::try_from(v).map_err(|_| malformed(FIELD, format!("{name}={v}"), "a limit cannot be negative", "R07")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, soft: i64, hard: i64) -> Result<(Rlimit, usize)> {
        let given = ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) };
        let mut warnings = Vec::new();
        let limits = all(&[given], &Package::standard(), &mut warnings)?;
        Ok((limits[0].clone(), warnings.len()))
    }

    #[test]
    fn limits_are_kept_or_lowered_aloud() {
        let (limit, warnings) = one("nofile", 512, 1024).expect("nofile");
        assert_eq!((limit.soft, limit.hard, warnings), (512, 1024, 0));
        let (limit, warnings) = one("nofile", -1, -1).expect("unlimited");
        assert_eq!((limit.soft, limit.hard, warnings), (1_048_576, 1_048_576, 1));
        assert!(matches!(one("rtprio", 99, 99), Err(Error::Forbidden(_))));
        assert!(matches!(one("bogus", 1, 1), Err(Error::Invalid(_))));
        assert!(matches!(one("nofile", 2, 1), Err(Error::Invalid(_))));
        assert!(matches!(one("nofile", -2, 1), Err(Error::Invalid(_))));
    }
}
