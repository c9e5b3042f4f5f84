//! The record format of a segment (all integers little endian):
//!
//! ```text
//! u32 payload length | u8 kind | u8 0 | u16 0 | u64 unix time in ns | payload | u32 payload length again
//! ```
//!
//! The length at the end lets a reader walk backwards. A record is what one read gave, not a line. The agent's
//! `stdio::record` reads the same format: change both or none.

/// Bytes before the payload.
pub(crate) const HEADER: usize = 16;
/// Bytes after the payload.
pub(crate) const TRAILER: usize = 4;
/// A longer length in a header means that it is no header.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Stdout = 1,
    Stderr = 2,
    /// The container ended; no payload.
    End = 3,
    /// Output was lost here, since the disk was full; the payload is a u64, the bytes.
    Lost = 4,
}

/// The bytes before a payload of `len` bytes.
pub(crate) fn header(kind: Kind, len: u32, unix_ns: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    let (a, rest) = bytes.split_at_mut(4);
    a.copy_from_slice(&len.to_le_bytes());
    let (b, c) = rest.split_at_mut(4);
    b.copy_from_slice(&[kind as u8, 0, 0, 0]);
    c.copy_from_slice(&unix_ns.to_le_bytes());
    bytes
}

/// The payload's length, if this can be a header.
pub(crate) fn payload_len(header: &[u8; HEADER]) -> Option<u32> {
    let [a, b, c, d, kind, flags, r0, r1, ..] = *header;
    let len = u32::from_le_bytes([a, b, c, d]);
    let sane = (1..=4).contains(&kind) && flags == 0 && r0 == 0 && r1 == 0 && len as usize <= MAX_PAYLOAD;
    sane.then_some(len)
}

/// Nanoseconds since 1970, now.
pub(crate) fn now_unix_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
