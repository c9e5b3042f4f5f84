//! Times as Go writes and reads them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeDelta, Utc};

/// Go's zero time: Docker's "never".
pub const ZERO: &str = "0001-01-01T00:00:00Z";

/// [`ZERO`], for callers that want an owned string.
pub fn zero_time() -> String {
    ZERO.to_owned()
}

/// Go's `RFC3339Nano`: as many digits of the fraction as it has, none if it is zero.
pub fn rfc3339nano(at: DateTime<Utc>) -> String {
    let full = rfc3339_fixed(at);
    match full.trim_end_matches('Z').trim_end_matches('0') {
        whole if whole.ends_with('.') => format!("{}Z", whole.trim_end_matches('.')),
        fraction => format!("{fraction}Z"),
    }
}

/// `None` is Docker's "never".
pub fn rfc3339nano_or_zero(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(zero_time, rfc3339nano)
}

/// Always nine digits: the time in front of log lines.
pub fn rfc3339_fixed(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid value for timestamp: {0:?}")]
pub struct TimestampError(String);

/// `since`, `until`: Unix seconds (`1136073600`, `1136073600.5`), a date or time of RFC 3339 (UTC where no zone is given), or a Go
/// duration (`1h30m`), which counts back from `now`.
pub fn parse_timestamp(given: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, TimestampError> {
    unix(given)
        .or_else(|| calendar(given))
        .or_else(|| go_duration_ns(given).and_then(|ns| now.checked_sub_signed(TimeDelta::nanoseconds(ns))))
        .ok_or_else(|| TimestampError(given.to_owned()))
}

fn unix(given: &str) -> Option<DateTime<Utc>> {
    let (seconds, fraction) = given.split_once('.').unwrap_or((given, ""));
    // Some clients write all nanoseconds since 1970 behind the dot; dockerd takes what an i64 holds.
    if fraction.len() > 19 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{:0<9}", &fraction[..fraction.len().min(9)]).parse().ok()?;
    DateTime::from_timestamp(seconds.parse().ok()?, nanos)
}

fn calendar(given: &str) -> Option<DateTime<Utc>> {
    if let Ok(zoned) = DateTime::parse_from_rfc3339(given) {
        return Some(zoned.to_utc());
    }
    let local = given.trim_end_matches('Z');
    let time =
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"].iter().find_map(|f| NaiveDateTime::parse_from_str(local, f).ok());
    let day = || NaiveDate::parse_from_str(local, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    time.or_else(day).map(|t| t.and_utc())
}

/// Go's `time.ParseDuration`, in nanoseconds: `300ms`, `-1.5h`, `2h45m`.
pub fn go_duration_ns(given: &str) -> Option<i64> {
    let (negative, mut rest) = match given.strip_prefix('-') {
        Some(r) => (true, r),
        None => (false, given.strip_prefix('+').unwrap_or(given)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = rest[number..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |n| number + n);
        total += rest[..number].parse::<f64>().ok()? * unit_ns(&rest[number..unit])?;
        rest = &rest[unit..];
    }
    let ns = if negative { -total } else { total };
    (ns.abs() < i64::MAX as f64).then_some(ns as i64)
}

fn unit_ns(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: u32) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, nanos).expect("time")
    }

    #[test]
    fn fractions_as_go_writes_them() {
        assert_eq!(rfc3339nano(at(1_136_073_600, 0)), "2006-01-01T00:00:00Z");
        assert_eq!(rfc3339nano(at(1_136_073_600, 120_000_000)), "2006-01-01T00:00:00.12Z");
        assert_eq!(rfc3339_fixed(at(1_136_073_600, 120)), "2006-01-01T00:00:00.000000120Z");
        assert_eq!(rfc3339nano_or_zero(None), ZERO);
    }

    #[test]
    fn every_form_of_since() {
        let now = at(1_136_073_600, 0);
        for (given, seconds, nanos) in [
            ("0", 0, 0),
            ("1136073600.000000001", 1_136_073_600, 1),
            ("1136073600.1136073600000000001", 1_136_073_600, 113_607_360),
            ("2006-01-01", 1_136_073_600, 0),
            ("2006-01-01T00:01", 1_136_073_660, 0),
            ("2006-01-01T00:00:01.5", 1_136_073_601, 500_000_000),
            ("2006-01-01T01:00:00+01:00", 1_136_073_600, 0),
            ("1m30s", 1_136_073_510, 0),
            ("-1h", 1_136_077_200, 0),
        ] {
            assert_eq!(parse_timestamp(given, now), Ok(at(seconds, nanos)), "{given}");
        }
        for bad in ["", "x", "1h3", "12:00", "1.5.5", "--1h"] {
            assert!(parse_timestamp(bad, now).is_err(), "{bad}");
        }
    }
}
