//! Amounts in words, for messages: `512MiB`, `1.5`.

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
}
