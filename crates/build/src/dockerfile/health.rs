//! `HEALTHCHECK`, as Docker's `Healthcheck` object.

use serde_json::{Value, json};

use super::{Fault, flags::Flags, words};

pub(super) fn parse(flags: &Flags, rest: &str) -> Result<Value, Fault> {
    if rest.is_empty() {
        return Err(Fault::instruction("HEALTHCHECK requires at least one argument"));
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    let known = ["interval", "timeout", "start-period", "start-interval", "retries"];
    match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => Ok(json!({ "Test": ["NONE"] })),
        "NONE" => Err(Fault::instruction("HEALTHCHECK NONE takes no arguments")),
        "CMD" => {
            flags.only(&known, &[], &[])?;
            if command.is_empty() {
                return Err(Fault::instruction("Missing command after HEALTHCHECK CMD"));
            }
            let mut check = json!({ "Test": test(command)? });
            for (flag, key) in [
                ("interval", "Interval"),
                ("timeout", "Timeout"),
                ("start-period", "StartPeriod"),
                ("start-interval", "StartInterval"),
            ] {
                if let Some(value) = flags.value(flag) {
                    check[key] = duration(flag, &value)?.into();
                }
            }
            if let Some(retries) = flags.value("retries") {
                let number = retries.parse::<i64>().map_err(|_| {
                    Fault::instruction(format!("strconv.ParseInt: parsing {retries:?}: invalid syntax"))
                })?;
                if number < 1 {
                    return Err(Fault::instruction(format!("--retries must be at least 1 (not {number})")));
                }
                check["Retries"] = number.into();
            }
            Ok(check)
        }
        _ => Err(Fault::instruction(format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)"))),
    }
}

fn test(command: &str) -> Result<Value, Fault> {
    Ok(match words::json_list(command)? {
        Some(list) => json!(std::iter::once("CMD".to_owned()).chain(list).collect::<Vec<_>>()),
        None => json!(["CMD-SHELL", command]),
    })
}

fn duration(flag: &str, value: &str) -> Result<i64, Fault> {
    let ns = go_duration_ns(value).ok_or_else(|| Fault::instruction(format!("time: invalid duration {value:?}")))?;
    match ns {
        0 | 1_000_000.. => Ok(ns),
        _ => Err(Fault::instruction(format!("Interval {flag:?} cannot be less than 1ms"))),
    }
}

/// `1m30s`, `500ms`, `1.5h`; None where it is none.
fn go_duration_ns(text: &str) -> Option<i64> {
    let (negative, mut text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    if text == "0" {
        return Some(0);
    }
    if text.is_empty() {
        return None;
    }
    let mut total = 0f64;
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
    (total < i64::MAX as f64).then_some(if negative { -(total as i64) } else { total as i64 })
}
