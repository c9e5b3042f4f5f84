//! Amounts in words: `512MiB` and `1.5` in messages, `8g` and `1.5` from an operator's hand.

use crate::{Error, Result};

/// Binary units, two digits behind the point at most.
pub fn bytes(n: i64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{}{}", trimmed(value), UNITS[unit])
}

/// CPUs out of thousandths.
pub fn cpus(millis: i64) -> String {
    trimmed(millis as f64 / 1000.0)
}

/// `8g`, `512MiB`, `1048576`: binary units as Docker's `--memory` takes them, whole numbers of any.
pub fn parse_bytes(text: &str) -> Result<i64> {
    let refused = || Error::invalid(format!("not an amount of memory: {text:?} (such as 512m or 8g)"));
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: i64 = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(refused()),
    };
    whole(digits).and_then(|n| n.checked_mul(unit)).ok_or_else(refused)
}

/// Thousandths out of `4`, `1.5` or `0.125`: three digits behind the point at most.
pub fn parse_cpus(text: &str) -> Result<i64> {
    let refused = || Error::invalid(format!("not a number of CPUs: {text:?} (such as 4 or 1.5)"));
    let (units, rest) = text.split_once('.').unwrap_or((text, "0"));
    if rest.is_empty() || rest.len() > 3 {
        return Err(refused());
    }
    let thousandths = whole(&format!("{rest:0<3}")).ok_or_else(refused)?;
    whole(units).and_then(|n| n.checked_mul(1000)?.checked_add(thousandths)).ok_or_else(refused)
}

/// Digits and nothing else: `parse` alone would take a sign.
pub fn whole(digits: &str) -> Option<i64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!((bytes(512 << 20), bytes(3 << 29), bytes(0)), ("512MiB".into(), "1.5GiB".into(), "0B".into()));
        assert_eq!((cpus(1000), cpus(250), cpus(10_000)), ("1".into(), "0.25".into(), "10".into()));
    }

    #[test]
    fn amounts_are_read_or_refused() {
        let read = |text| parse_bytes(text).ok();
        assert_eq!(
            (read("8g"), read("512MiB"), read("7"), read("0")),
            (Some(8 << 30), Some(512 << 20), Some(7), Some(0))
        );
        for bad in ["", "g", "-1", "+1", "1.5g", "8 g", "8gg", "8x", "99999999999999999999", "9000000000t"] {
            assert!(parse_bytes(bad).is_err(), "{bad:?}");
        }
        let read = |text| parse_cpus(text).ok();
        assert_eq!((read("4"), read("1.5"), read("0.125")), (Some(4000), Some(1500), Some(125)));
        for bad in ["", ".", "1.", ".5", "-1", "1.-5", "1.2345", "1e3", "99999999999999999999"] {
            assert!(parse_cpus(bad).is_err(), "{bad:?}");
        }
    }
}
