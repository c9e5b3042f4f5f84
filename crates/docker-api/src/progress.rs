//! The lines of pull, push, load and import: one JSON object each, ended by CR LF as dockerd does.

use serde::Serialize;
use serde_json::Value;

use crate::human;

/// One line. An error comes as a line too, since the status has gone out before.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<Detail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<Value>,
}

/// Bytes; both 0 (written as `{}`) where nothing is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Detail {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorDetail {
    /// Exit code of a build step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    pub message: String,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Line {
    /// A plain sentence, with the layer's id where it is about one.
    pub fn status(id: Option<&str>, text: impl Into<String>) -> Self {
        let progress_detail = id.map(|_| Detail::default());
        Self { status: Some(text.into()), id: id.map(str::to_owned), progress_detail, ..Self::default() }
    }

    /// `current` of `total` bytes of `id`; `total` 0 = unknown.
    pub fn bytes(id: impl Into<String>, action: impl Into<String>, current: u64, total: u64) -> Self {
        Self {
            status: Some(action.into()),
            progress_detail: Some(Detail { current, total }),
            progress: Some(bar(current, total)),
            id: Some(id.into()),
            ..Self::default()
        }
    }

    /// What a push tells programs.
    pub fn pushed(what: Value) -> Self {
        Self { progress_detail: Some(Detail::default()), aux: Some(what), ..Self::default() }
    }

    /// What `load` and `build` print.
    pub fn stream(text: impl Into<String>) -> Self {
        Self { stream: Some(text.into()), ..Self::default() }
    }

    /// The last line of a stream that failed.
    pub fn error(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            error: Some(message.clone()),
            error_detail: Some(ErrorDetail { code: None, message }),
            ..Self::default()
        }
    }

    /// A build step whose program failed.
    pub fn step_error(code: i32, message: impl Into<String>) -> Self {
        let message = message.into();
        let error_detail = Some(ErrorDetail { code: Some(code), message: message.clone() });
        Self { error: Some(message), error_detail, ..Self::default() }
    }

    /// The line as it goes out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.extend_from_slice(b"\r\n");
        line
    }
}

/// `[=====>      ]  1.2MB/3.4MB`, 50 characters wide.
fn bar(current: u64, total: u64) -> String {
    if total == 0 {
        return human::size(current);
    }
    let done = usize::try_from(current.min(total).saturating_mul(50) / total).unwrap_or(50);
    let head = if done < 50 { ">" } else { "" };
    let shown = format!("{}{head}", "=".repeat(done));
    format!("[{shown:<50}]  {}/{}", human::size(current), human::size(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &Line) -> String {
        String::from_utf8(line.to_bytes()).expect("utf-8")
    }

    #[test]
    fn lines_as_clients_read_them() {
        assert_eq!(text(&Line::status(None, "Digest: x")), "{\"status\":\"Digest: x\"}\r\n");
        assert_eq!(
            text(&Line::status(Some("abc"), "Pull complete")),
            "{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"abc\"}\r\n"
        );
        assert_eq!(text(&Line::error("no")), "{\"errorDetail\":{\"message\":\"no\"},\"error\":\"no\"}\r\n");
        let half = Line::bytes("abc", "Downloading", 500, 1000);
        assert!(half.progress.is_some_and(|p| p.ends_with("]  500B/1kB") && p.starts_with("[====")));
    }
}
