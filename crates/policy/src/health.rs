//! P22: health checks. The image's fields fill what the request leaves at zero, as dockerd merges them.

use docker_api::types::HealthConfig;
use domain::{Healthcheck, Result};

use crate::refuse::malformed;

const SECOND_NS: i64 = 1_000_000_000;
const INTERVAL_NS: i64 = 30 * SECOND_NS;
const TIMEOUT_NS: i64 = 30 * SECOND_NS;
const START_INTERVAL_NS: i64 = 5 * SECOND_NS;
const RETRIES: i64 = 3;

/// The request's over the image's; None where neither says anything.
pub(crate) fn merge(user: Option<HealthConfig>, image: Option<&HealthConfig>) -> Option<HealthConfig> {
    let (user, image) = match (user, image) {
        (Some(user), Some(image)) => (user, image),
        (user, image) => return user.or_else(|| image.cloned()),
    };
    let HealthConfig { test, interval, timeout, retries, start_period, start_interval } = user;
    let or = |mine: Option<i64>, theirs: Option<i64>| mine.filter(|v| *v != 0).or(theirs);
    Some(HealthConfig {
        test: test.filter(|t| !t.is_empty()).or_else(|| image.test.clone()),
        interval: or(interval, image.interval),
        timeout: or(timeout, image.timeout),
        retries: or(retries, image.retries),
        start_period: or(start_period, image.start_period),
        start_interval: or(start_interval, image.start_interval),
    })
}

/// What the agent runs; None without a test, or with `NONE`. `shell` is the image's or the request's, for `CMD-SHELL`.
pub(crate) fn resolve(config: Option<&HealthConfig>, shell: &[String]) -> Result<Option<Healthcheck>> {
    let Some(HealthConfig { test, interval, timeout, retries, start_period, start_interval }) = config else {
        return Ok(None);
    };
    let duration = |field: &str, value: &Option<i64>, default: i64| match value.unwrap_or(0) {
        0 => Ok(default),
        ns if ns >= SECOND_NS => Ok(ns),
        ns => Err(malformed(&format!("Healthcheck.{field}"), ns, "must be 0 or at least one second (in ns)", "P22")),
    };
    let retries = match retries.unwrap_or(0) {
        0 => RETRIES,
        n => n,
    };
    let checked = Healthcheck {
        args: Vec::new(),
        interval_ns: duration("Interval", interval, INTERVAL_NS)?,
        timeout_ns: duration("Timeout", timeout, TIMEOUT_NS)?,
        start_period_ns: duration("StartPeriod", start_period, 0)?,
        start_interval_ns: duration("StartInterval", start_interval, START_INTERVAL_NS)?,
        retries: u32::try_from(retries)
            .map_err(|_| malformed("Healthcheck.Retries", retries, "cannot be negative", "P22"))?,
    };
    let args = args(test.as_deref().unwrap_or_default(), shell)?;
    Ok(args.map(|args| Healthcheck { args, ..checked }))
}

fn args(test: &[String], shell: &[String]) -> Result<Option<Vec<String>>> {
    let bad = |why| malformed("Healthcheck.Test", crate::refuse::list(test), why, "P22");
    let Some((kind, rest)) = test.split_first() else { return Ok(None) };
    if test.iter().any(|word| word.contains('\0')) {
        return Err(bad("contains a NUL byte"));
    }
    match kind.as_str() {
        "NONE" => Ok(None),
        "CMD" | "CMD-SHELL" if rest.is_empty() => Err(bad("no command")),
        "CMD" => Ok(Some(rest.to_vec())),
        "CMD-SHELL" => Ok(Some(with_shell(rest, shell))),
        _ => Err(bad("unknown type of health check")),
    }
}

fn with_shell(rest: &[String], shell: &[String]) -> Vec<String> {
    let mut args = shell.to_vec();
    if args.is_empty() {
        args = vec!["/bin/sh".to_owned(), "-c".to_owned()];
    }
    args.extend(rest.iter().take(1).cloned());
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(test: &[&str], interval: i64) -> HealthConfig {
        HealthConfig {
            test: Some(test.iter().map(|s| (*s).to_owned()).collect()),
            interval: Some(interval),
            ..HealthConfig::default()
        }
    }

    #[test]
    fn shell_form_defaults_and_none() {
        let check =
            resolve(Some(&config(&["CMD-SHELL", "test -f /tmp/ok"], SECOND_NS)), &[]).expect("legal").expect("one");
        assert_eq!(check.args, ["/bin/sh", "-c", "test -f /tmp/ok"]);
        assert_eq!((check.interval_ns, check.timeout_ns, check.retries), (SECOND_NS, TIMEOUT_NS, 3));
        assert_eq!(resolve(Some(&config(&["NONE"], 0)), &[]).expect("none"), None);
        assert!(resolve(Some(&config(&["CMD", "true"], 1)), &[]).is_err());
        assert!(resolve(Some(&config(&["BOGUS", "true"], 0)), &[]).is_err());
        assert!(resolve(Some(&HealthConfig { retries: Some(-1), ..config(&["CMD", "x"], 0) }), &[]).is_err());
    }

    #[test]
    fn the_request_wins_over_the_image_field_by_field() {
        let merged = merge(Some(config(&[], 2 * SECOND_NS)), Some(&config(&["CMD", "a"], SECOND_NS))).expect("both");
        assert_eq!((merged.test.map(|t| t.len()), merged.interval), (Some(2), Some(2 * SECOND_NS)));
    }
}
