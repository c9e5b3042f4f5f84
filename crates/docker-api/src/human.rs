//! Durations, sizes and states in the words of `docker ps`.

use chrono::{DateTime, TimeDelta, Utc};

/// What [`status_text`] needs of a container.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Docker's `State.Status`: `created`, `running`, ...
    pub status: &'a str,
    pub exit_code: i32,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// `starting`, `healthy`, `unhealthy`; None without a health check.
    pub health: Option<&'a str>,
    /// Its host has been silent: what is known may be old.
    pub host_unreachable: bool,
}

/// Docker's `Status` column.
pub fn status_text(seen: &Seen<'_>, now: DateTime<Utc>) -> String {
    let since = |at: Option<DateTime<Utc>>| duration(now - at.unwrap_or(now));
    let text = match seen.status {
        "running" => format!("Up {}{}", since(seen.started_at), health_suffix(seen.health)),
        "paused" => format!("Up {} (Paused)", since(seen.started_at)),
        "restarting" => format!("Restarting ({}) {} ago", seen.exit_code, since(seen.finished_at)),
        "removing" => "Removal In Progress".to_owned(),
        "dead" => "Dead".to_owned(),
        "exited" => format!("Exited ({}) {} ago", seen.exit_code, since(seen.finished_at)),
        _ => "Created".to_owned(),
    };
    if seen.host_unreachable { format!("{text} (host unreachable)") } else { text }
}

fn health_suffix(health: Option<&str>) -> String {
    match health {
        None | Some("none" | "") => String::new(),
        Some("starting") => " (health: starting)".to_owned(),
        Some(other) => format!(" ({other})"),
    }
}

/// An age in words. A negative one (clocks differ) counts as none.
pub fn duration(age: TimeDelta) -> String {
    let seconds = age.num_seconds().max(0);
    // Hours are rounded, the finer units cut off; years come from uncut hours.
    let hours = (seconds + 1800) / 3600;
    match (seconds, hours) {
        (0, _) => "Less than a second".to_owned(),
        (1, _) => "1 second".to_owned(),
        (2..=59, _) => format!("{seconds} seconds"),
        (60..=119, _) => "About a minute".to_owned(),
        (120..=3599, _) => format!("{} minutes", seconds / 60),
        (_, 1) => "About an hour".to_owned(),
        (_, h) if h < 48 => format!("{h} hours"),
        (_, h) if h < 24 * 14 => format!("{} days", h / 24),
        (_, h) if h < 24 * 60 => format!("{} weeks", h / (24 * 7)),
        (_, h) if h < 24 * 730 => format!("{} months", h / (24 * 30)),
        (s, _) => format!("{} years", s / 3600 / (24 * 365)),
    }
}

/// Bytes with decimal units and at most four significant digits: `1.234MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{}{}", significant(value), UNITS[unit])
}

/// Go's `%.4g` for 0 <= value < 1000.
fn significant(value: f64) -> String {
    let decimals = if value >= 100.0 {
        1
    } else if value >= 10.0 {
        2
    } else {
        3
    };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        const H: i64 = 3600;
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (H, "About an hour"),
            (H + 1800, "2 hours"),
            (47 * H, "47 hours"),
            (48 * H, "2 days"),
            (14 * 24 * H, "2 weeks"),
            (60 * 24 * H, "2 months"),
            (730 * 24 * H, "2 years"),
            (-5, "Less than a second"),
        ] {
            assert_eq!(duration(TimeDelta::seconds(seconds)), words, "{seconds}");
        }
    }

    #[test]
    fn status_column() {
        let now = DateTime::from_timestamp(10_000, 0).expect("now");
        let ago = |s| Some(now - TimeDelta::seconds(s));
        let base = Seen {
            status: "running",
            exit_code: 0,
            started_at: ago(3),
            finished_at: None,
            health: None,
            host_unreachable: false,
        };
        let text = |seen: Seen<'_>| status_text(&seen, now);
        assert_eq!(text(base), "Up 3 seconds");
        assert_eq!(text(Seen { started_at: ago(0), ..base }), "Up Less than a second");
        assert_eq!(text(Seen { health: Some("healthy"), ..base }), "Up 3 seconds (healthy)");
        assert_eq!(text(Seen { health: Some("starting"), ..base }), "Up 3 seconds (health: starting)");
        assert_eq!(text(Seen { status: "paused", started_at: ago(300), ..base }), "Up 5 minutes (Paused)");
        assert_eq!(
            text(Seen { status: "restarting", exit_code: 1, finished_at: ago(2), ..base }),
            "Restarting (1) 2 seconds ago"
        );
        assert_eq!(text(Seen { status: "exited", finished_at: ago(61), ..base }), "Exited (0) About a minute ago");
        assert_eq!(text(Seen { status: "created", started_at: None, ..base }), "Created");
        assert_eq!(
            text(Seen { started_at: ago(3 * 3600), host_unreachable: true, ..base }),
            "Up 3 hours (host unreachable)"
        );
    }

    #[test]
    fn sizes() {
        for (bytes, words) in [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_234_567, "1.235MB"), (12_345_678, "12.35MB")]
        {
            assert_eq!(size(bytes), words);
        }
    }
}
