//! Puts `--timestamps` and `--details` before each line.
//!
//! A line is shown with the time of its beginning, and in one piece even if records of the other stream came between,
//! up to a bound. Details stand between the time and the line, as dockerd has it; without attributes they are one space.

use std::collections::BTreeMap;

use bytes::BytesMut;
use chrono::{DateTime, SecondsFormat, Utc};

/// A longer line is passed on in parts, of which only the first has a prefix.
const MAX_LINE_BYTES: usize = 64 << 10;

/// What stands before each line.
#[derive(Debug)]
pub(super) struct Prefix {
    pub(super) timestamps: bool,
    /// Already in its final form.
    pub(super) details: Option<String>,
}

/// The lines of one stream.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// An unfinished line, prefix included.
    partial: BytesMut,
    /// The prefix of the unfinished line has been written.
    open: bool,
}

impl Lines {
    /// Adds bytes of one moment; finished lines go to `out`.
    pub(super) fn push(&mut self, bytes: &[u8], unix_ns: u64, prefix: &Prefix, out: &mut BytesMut) {
        let before = prefix.text(unix_ns);
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let finished = piece.ends_with(b"\n");
            if finished {
                out.unsplit(self.partial.split());
            }
            let target = if finished { &mut *out } else { &mut self.partial };
            if !self.open {
                target.extend_from_slice(before.as_bytes());
            }
            target.extend_from_slice(piece);
            self.open = !finished;
        }
        if self.partial.len() > MAX_LINE_BYTES {
            self.flush(out);
        }
    }

    /// Passes the unfinished line on as it is; more of it gets no prefix.
    pub(super) fn flush(&mut self, out: &mut BytesMut) {
        out.unsplit(self.partial.split());
    }

    /// The next byte begins a line.
    pub(super) fn end_run(&mut self, out: &mut BytesMut) {
        self.flush(out);
        self.open = false;
    }
}

impl Prefix {
    fn text(&self, unix_ns: u64) -> String {
        let mut text = String::new();
        if self.timestamps {
            let time: DateTime<Utc> = DateTime::from_timestamp_nanos(i64::try_from(unix_ns).unwrap_or(i64::MAX));
            text.push_str(&time.to_rfc3339_opts(SecondsFormat::Nanos, true));
            text.push(' ');
        }
        if let Some(details) = &self.details {
            text.push_str(details);
            text.push(' ');
        }
        text
    }
}

/// `k=v,k=v`, each part escaped as in a form.
pub(super) fn details(attributes: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = attributes.iter().map(|(k, v)| format!("{}={}", form_escape(k), form_escape(v))).collect();
    pairs.join(",")
}

fn form_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_700_000_000_000_000_001;

    fn both() -> Prefix {
        Prefix { timestamps: true, details: Some("a=b".into()) }
    }

    #[test]
    fn a_line_in_pieces_has_one_prefix_and_the_time_of_its_beginning() {
        let (mut lines, mut out) = (Lines::default(), BytesMut::new());
        lines.push(b"one\ntw", NOON, &both(), &mut out);
        assert_eq!(&out[..], b"2023-11-14T22:13:20.000000001Z a=b one\n");
        lines.push(b"o\n", NOON + 1, &both(), &mut out);
        assert_eq!(
            &out[..],
            b"2023-11-14T22:13:20.000000001Z a=b one\n2023-11-14T22:13:20.000000001Z a=b two\n".as_slice()
        );
    }

    #[test]
    fn a_flushed_line_goes_on_without_a_prefix_and_a_new_run_has_one() {
        let (mut lines, mut out) = (Lines::default(), BytesMut::new());
        let prefix = Prefix { timestamps: false, details: Some(String::new()) };
        lines.push(b"login: ", NOON, &prefix, &mut out);
        lines.flush(&mut out);
        lines.push(b"root", NOON, &prefix, &mut out);
        lines.end_run(&mut out);
        lines.push(b"\n", NOON, &prefix, &mut out);
        assert_eq!(&out[..], b" login: root \n");
    }

    #[test]
    fn attributes_are_escaped_as_in_a_form() {
        let attributes = BTreeMap::from([("b c".into(), "1,2".into()), ("a".into(), "~x".into())]);
        assert_eq!(details(&attributes), "a=~x,b+c=1%2C2");
    }
}
