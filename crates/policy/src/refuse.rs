//! The three ways to say no, each with the field, the value as given and the rule.

use std::fmt::Display;

use domain::Error;

/// Longer values are cut: a message is for people.
const SHOWN_MAX: usize = 200;

/// 403: known, and not for tenants.
pub(crate) fn forbidden(field: &str, value: impl Display, rule: &str) -> Error {
    Error::forbidden(format!("{field}={} is not permitted on this endpoint (policy {rule})", shown(&value)))
}

/// 403 with the reason.
pub(crate) fn forbidden_because(field: &str, value: impl Display, why: &str, rule: &str) -> Error {
    Error::forbidden(format!("{field}={} is not permitted on this endpoint: {why} (policy {rule})", shown(&value)))
}

/// 400: no such value.
pub(crate) fn malformed(field: &str, value: impl Display, why: &str, rule: &str) -> Error {
    Error::invalid(format!("invalid {field}={}: {why} (policy {rule})", shown(&value)))
}

/// 501: Docker has it, this endpoint does not.
pub(crate) fn unsupported(field: &str, value: impl Display) -> Error {
    Error::unsupported(format!("{field}={} is not supported on this endpoint", shown(&value)))
}

/// Control characters are escaped, so that a value cannot forge a line in a log or on a terminal.
fn shown(value: &impl Display) -> String {
    let text = value.to_string();
    let mut out: String = text.chars().take(SHOWN_MAX).flat_map(escape).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        out.push_str("...");
    }
    out
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let escaped: Vec<char> = if c.is_control() { c.escape_default().collect() } else { vec![c] };
    escaped.into_iter()
}

/// A list as Docker's JSON shows it.
pub(crate) fn list<T: AsRef<str>>(items: &[T]) -> String {
    let quoted: Vec<String> = items.iter().map(|i| format!("{:?}", i.as_ref())).collect();
    format!("[{}]", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_field_value_and_rule() {
        assert_eq!(
            forbidden("HostConfig.Privileged", true, "P01").to_string(),
            "HostConfig.Privileged=true is not permitted on this endpoint (policy P01)"
        );
        let hostile = malformed("Hostname", format!("a\n{}", "b".repeat(300)), "no", "P21").to_string();
        assert!(hostile.contains("a\\nbbb") && hostile.contains("...") && hostile.len() < 300);
    }
}
