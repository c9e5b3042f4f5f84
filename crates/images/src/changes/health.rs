//! `HEALTHCHECK [options] CMD ...` and `HEALTHCHECK NONE`, as Docker's `Healthcheck` object.

use domain::{Error, Result};
use serde_json::{Value, json};

/// The least that dockerd accepts: 1 ms.
const DURATION_MIN_NS: i64 = 1_000_000;

pub(super) fn parse(mut rest: &str) -> Result<Value> {
    let mut check = json!({ "Test": null });
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        option(&mut check, flag)?;
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    check["Test"] = match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => json!(["NONE"]),
        "NONE" => return Err(Error::invalid("HEALTHCHECK NONE takes no arguments")),
        "CMD" if command.is_empty() => return Err(Error::invalid("Missing command after HEALTHCHECK CMD")),
        "CMD" => test(command),
        other => return Err(Error::invalid(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)"))),
    };
    Ok(check)
}

fn test(command: &str) -> Value {
    match super::json_list(command) {
        Some(list) => json!(std::iter::once("CMD".to_owned()).chain(list).collect::<Vec<_>>()),
        None => json!(["CMD-SHELL", command]),
    }
}

fn option(check: &mut Value, flag: &str) -> Result<()> {
    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
    let key = match name {
        "interval" => "Interval",
        "timeout" => "Timeout",
        "start-period" => "StartPeriod",
        "start-interval" => "StartInterval",
        "retries" => {
            let retries = value.parse::<u32>().ok().filter(|n| *n >= 1);
            check["Retries"] = retries.ok_or_else(|| Error::invalid("--retries must be at least 1"))?.into();
            return Ok(());
        }
        other => return Err(Error::invalid(format!("unknown flag: {other}"))),
    };
    let duration = go_duration_ns(value).filter(|ns| *ns == 0 || *ns >= DURATION_MIN_NS);
    let invalid = || Error::invalid(format!("Interval {name:?} must be a duration of at least 1ms"));
    check[key] = duration.ok_or_else(invalid)?.into();
    Ok(())
}

/// `1m30s`, `500ms`, `1.5h`; None where it is none, or negative.
fn go_duration_ns(mut text: &str) -> Option<i64> {
    let mut total = 0f64;
    if text == "0" {
        return Some(0);
    }
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let number = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = text[number..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(text.len(), |n| number + n);
        let scale = match &text[number..unit] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += text[..number].parse::<f64>().ok()? * scale;
        text = &text[unit..];
    }
    (total < i64::MAX as f64).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_their_errors() {
        assert_eq!(parse("NONE").expect("none"), json!({"Test": ["NONE"]}));
        let exec = parse("--timeout=1.5s CMD [\"a\"]").expect("exec");
        assert_eq!(exec, json!({"Test": ["CMD", "a"], "Timeout": 1_500_000_000i64}));
        for bad in ["CMD", "FOO x", "--interval=1us CMD x", "--retries=0 CMD x", "--bogus=1 CMD x", "NONE x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
