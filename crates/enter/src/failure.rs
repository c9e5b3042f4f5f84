//! What goes wrong, and who is told. The texts of all but `Internal` reach the tenant: they hold paths of the container and
//! dockerd's words, nothing of the host.

use std::{fmt::Display, io};

/// Exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A defect of ours; for operators.
    Internal = 1,
    /// The path does not exist.
    Missing = 2,
    /// The request or the archive is at fault, or the file system says no.
    Invalid = 3,
    /// A rule says no.
    Forbidden = 4,
    /// The container's process has ended meanwhile: worth another try.
    Gone = 5,
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) text: Vec<u8>,
}

pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(kind: Kind, text: impl Into<Vec<u8>>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(crate) fn internal(text: impl Display) -> Self {
        Self::new(Kind::Internal, text.to_string())
    }

    pub(crate) fn invalid(text: impl Into<Vec<u8>>) -> Self {
        Self::new(Kind::Invalid, text)
    }

    pub(crate) fn forbidden(text: impl Into<Vec<u8>>) -> Self {
        Self::new(Kind::Forbidden, text)
    }

    /// `operation path: reason`, as Go writes it.
    pub(crate) fn of(operation: &str, path: &[u8], error: &io::Error) -> Self {
        Self::invalid([operation.as_bytes(), b" ", path, b": ", reason(error).as_bytes()].concat())
    }

    /// As [`Self::of`]; a path that is not there is told by its own code.
    pub(crate) fn looking(operation: &str, path: &[u8], error: &io::Error) -> Self {
        let failure = Self::of(operation, path, error);
        let missing = error.kind() == io::ErrorKind::NotFound;
        Self { kind: if missing { Kind::Missing } else { failure.kind }, ..failure }
    }
}

/// libc's text without Rust's number, in lower case as Go has it.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_gos() {
        let failure = Failure::looking("lstat", b"/a/b", &io::Error::from_raw_os_error(libc::ENOTDIR));
        assert_eq!((failure.kind, &failure.text[..]), (Kind::Invalid, &b"lstat /a/b: not a directory"[..]));
        let failure = Failure::looking("lstat", b"/a", &io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(failure.kind, Kind::Missing);
    }
}
