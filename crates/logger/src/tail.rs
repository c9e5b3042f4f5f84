//! Where the whole records of a segment end, so that a new run can append after a crash.
//!
//! A segment that ends with an end-of-run record was closed in good order. Any other is walked from its start, since a
//! payload could look like the end of a record when it is met backwards.

use std::{fs::File, os::unix::fs::FileExt};

use crate::record::{HEADER, Kind, TRAILER, payload_len};

const END_RECORD: usize = HEADER + TRAILER;

/// Offset after the last whole record of a segment of `size` bytes.
pub(crate) fn whole_records_end(file: &File, size: u64) -> u64 {
    if ends_in_good_order(file, size) {
        return size;
    }
    let mut at = 0;
    let mut window = Window::new();
    while let Some(next) = next_record(file, &mut window, at, size) {
        at = next;
    }
    at
}

fn ends_in_good_order(file: &File, size: u64) -> bool {
    let Some(at) = size.checked_sub(END_RECORD as u64) else { return size == 0 };
    let mut bytes = [0; END_RECORD];
    if file.read_exact_at(&mut bytes, at).is_err() {
        return false;
    }
    let [0, 0, 0, 0, kind, 0, 0, 0, .., 0, 0, 0, 0] = bytes else { return false };
    kind == Kind::End as u8
}

fn next_record(file: &File, window: &mut Window, at: u64, size: u64) -> Option<u64> {
    let len = payload_len(&window.take::<HEADER>(file, at)?)?;
    let trailer_at = at + HEADER as u64 + u64::from(len);
    let end = trailer_at + TRAILER as u64;
    if end > size {
        return None;
    }
    let trailer = u32::from_le_bytes(window.take::<TRAILER>(file, trailer_at)?);
    (trailer == len).then_some(end)
}

/// A read-ahead that suits both thousands of tiny records and hops over large ones.
struct Window {
    bytes: Vec<u8>,
    at: u64,
    filled: usize,
}

impl Window {
    fn new() -> Self {
        Self { bytes: vec![0; 32 << 10], at: 0, filled: 0 }
    }

    fn take<const N: usize>(&mut self, file: &File, at: u64) -> Option<[u8; N]> {
        if self.inside::<N>(at).is_none() {
            self.filled = file.read_at(&mut self.bytes, at).ok()?;
            self.at = at;
        }
        self.inside(at)
    }

    fn inside<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let from = usize::try_from(at.checked_sub(self.at)?).ok()?;
        let valid = self.bytes.get(..self.filled)?;
        valid.get(from..from.checked_add(N)?)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use super::*;
    use crate::record::header;

    fn record(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap();
        [&header(kind, len, 7)[..], payload, &len.to_le_bytes()].concat()
    }

    fn end_of(bytes: &[u8]) -> u64 {
        let name = format!("wharfinger-tail-{}-{:p}", std::process::id(), &bytes);
        let path = std::env::temp_dir().join(name);
        let mut file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(bytes).unwrap();
        whole_records_end(&file, bytes.len() as u64)
    }

    #[test]
    fn every_cut_of_a_segment_ends_at_the_last_whole_record() {
        let records = [record(Kind::Stdout, b"one\n"), record(Kind::Stderr, &[7; 70_000]), record(Kind::Stdout, b"")];
        let all = records.concat();
        let mut ends = vec![0];
        for r in &records {
            ends.push(ends[ends.len() - 1] + r.len());
        }
        for cut in (0..=all.len()).filter(|c| c % 977 == 0 || all.len() - c < 50 || *c < 50) {
            let expected = *ends.iter().filter(|&&e| e <= cut).max().unwrap() as u64;
            assert_eq!(end_of(&all[..cut]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn zeros_after_a_power_cut_are_not_records() {
        let mut bytes = record(Kind::Stdout, b"kept\n");
        let kept = bytes.len() as u64;
        bytes.extend([0; 5000]);
        assert_eq!(end_of(&bytes), kept);
    }

    #[test]
    fn a_closed_run_is_whole() {
        let bytes = [record(Kind::Stdout, b"x"), record(Kind::End, b"")].concat();
        assert_eq!(end_of(&bytes), bytes.len() as u64);
    }
}
