//! What the foreground shows: a line for each thing that is started, becomes ready or dies.

use std::{fmt::Display, io::Write as _};

/// A terminal that has gone away must not take the system with it, so errors are dropped (`println!` would panic).
pub(crate) fn line(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// A line about one process or part.
pub(crate) fn about(part: &str, text: impl Display) {
    line(format_args!("{part:<14} {text}"));
}
