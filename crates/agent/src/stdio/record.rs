//! Segments `<8 digits>.log` and the records in them (all integers little endian):
//!
//! ```text
//! u32 payload length | u8 kind | u8 0 | u16 0 | u64 unix time in ns | payload | u32 payload length again
//! ```
//!
//! A record is what one read of the logger gave, not a line. A record counts only if header and trailer agree: after a
//! crash of the machine the end of a segment may be anything. The logger's `record.rs` writes the same format.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;

/// Bytes before the payload.
pub(super) const HEADER: usize = 16;
/// Bytes after the payload.
pub(super) const TRAILER: usize = 4;
/// A longer length in a header means that it is no header.
pub(super) const MAX_PAYLOAD: usize = 1 << 20;

/// A place between two records; segment 0 is before all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

impl Position {
    /// Behind every record.
    pub(super) const LAST: Self = Self { segment: u64::MAX, offset: u64::MAX };
}

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stdout,
    Stderr,
    /// The container ended.
    End,
    /// Output was lost here (the payload: u64, bytes), since the disk was full.
    Lost,
}

/// One record.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) unix_ns: u64,
    /// Where it begins.
    pub(super) at: Position,
    pub(super) payload: Bytes,
}

/// The fixed part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) unix_ns: u64,
    pub(super) payload_bytes: usize,
}

impl Header {
    /// None if these bytes cannot begin a record.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (&[kind, 0, 0, 0], rest) = rest.split_first_chunk::<4>()? else { return None };
        let unix_ns = u64::from_le_bytes(*rest.first_chunk()?);
        let payload_bytes = u32::from_le_bytes(*len) as usize;
        let kind = match kind {
            1 => Kind::Stdout,
            2 => Kind::Stderr,
            3 => Kind::End,
            4 => Kind::Lost,
            _ => return None,
        };
        (payload_bytes <= MAX_PAYLOAD).then_some(Self { kind, unix_ns, payload_bytes })
    }

    /// Header, payload and trailer.
    pub(super) fn record_bytes(&self) -> usize {
        HEADER + self.payload_bytes + TRAILER
    }
}

/// The record at the start of `bytes`, which are at `at`; None if there is no whole one.
pub(super) fn first(bytes: &Bytes, at: Position) -> Option<Record> {
    let header = Header::parse(bytes)?;
    let trailer_at = HEADER + header.payload_bytes;
    let trailer: &[u8; TRAILER] = bytes.get(trailer_at..)?.first_chunk()?;
    let whole = u32::from_le_bytes(*trailer) as usize == header.payload_bytes;
    let payload = bytes.slice(HEADER..trailer_at);
    whole.then_some(Record { kind: header.kind, unix_ns: header.unix_ns, at, payload })
}

/// The numbers of the segments, oldest first; none if there is no log yet.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|n| n.strip_suffix(".log")).and_then(|n| n.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The file of segment `number`.
pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}
