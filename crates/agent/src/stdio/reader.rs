//! Reads segments forwards. Blocking: a page may have to come from the disk.
//!
//! While a logger runs, it says how far its records are whole, and we never look beyond. Without one (`end` = None) the
//! first thing that is no whole record ends the segment.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::{Buf, Bytes, BytesMut};

use super::record::{self, HEADER, Header, Position, Record, TRAILER};

/// One read; also about what a stream holds in memory.
const READ_BYTES: usize = 256 << 10;

/// A place in the log of one container.
#[derive(Debug)]
pub(super) struct Reader {
    dir: PathBuf,
    at: Position,
    file: Option<File>,
    gap: bool,
}

impl Reader {
    pub(super) fn new(dir: &Path, at: Position) -> Self {
        Self { dir: dir.into(), at, file: None, gap: false }
    }

    /// The next record begins here.
    pub(super) fn position(&self) -> Position {
        self.at
    }

    /// True once after something was passed over: a segment was removed before it was read, or did not hold records.
    pub(super) fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.gap)
    }

    /// Some records, at most up to `end` (None: up to the end of what is on disk); empty at the end.
    pub(super) fn read(&mut self, end: Option<Position>) -> io::Result<Vec<Record>> {
        loop {
            if end.is_some_and(|end| self.at >= end) || !self.open()? {
                return Ok(Vec::new());
            }
            let records = self.read_here(end)?;
            if !records.is_empty() || !self.leave(end)? {
                return Ok(records);
            }
        }
    }

    /// Makes sure that a segment is open, if need be a newer one than asked for.
    fn open(&mut self) -> io::Result<bool> {
        if self.file.is_some() {
            return Ok(true);
        }
        match File::open(record::segment_path(&self.dir, self.at.segment)) {
            Ok(file) => self.file = Some(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.open_newer(),
            Err(e) => return Err(e),
        }
        Ok(true)
    }

    fn open_newer(&mut self) -> io::Result<bool> {
        let numbers = record::segments(&self.dir)?;
        let Some(&number) = numbers.iter().find(|&&n| n > self.at.segment) else { return Ok(false) };
        // From the very start, the oldest one that is left will do; from anywhere else this is a loss.
        self.gap |= self.at != Position::default();
        self.at = Position { segment: number, offset: 0 };
        self.open()
    }

    fn read_here(&mut self, end: Option<Position>) -> io::Result<Vec<Record>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let limit = match end {
            Some(end) if end.segment == self.at.segment => end.offset,
            _ => file.metadata()?.len(),
        };
        let (records, next) = whole_records(file, self.at, limit)?;
        self.at.offset = next;
        Ok(records)
    }

    /// Goes to the next segment. False: this was the last one.
    fn leave(&mut self, end: Option<Position>) -> io::Result<bool> {
        let here = self.at.segment;
        let next = match end {
            Some(end) if end.segment == here => {
                // `end` is between two records, so what stands before it and does not parse is damage: pass it.
                self.gap |= self.at < end;
                self.at = end;
                return Ok(false);
            }
            _ => record::segments(&self.dir)?.into_iter().find(|&n| n > here),
        };
        let Some(next) = next else { return Ok(false) };
        self.gap |= next != here + 1 || self.unread_bytes()? > 0;
        self.file = None;
        self.at = Position { segment: next, offset: 0 };
        Ok(true)
    }

    fn unread_bytes(&self) -> io::Result<u64> {
        let size = self.file.as_ref().map_or(Ok(0), |f| f.metadata().map(|m| m.len()))?;
        Ok(size.saturating_sub(self.at.offset))
    }
}

/// Whole records from `at` on, of one read, and the offset behind them.
pub(super) fn whole_records(file: &File, at: Position, limit: u64) -> io::Result<(Vec<Record>, u64)> {
    let mut bytes = read(file, at.offset, limit, READ_BYTES)?;
    if let Some(header) = Header::parse(&bytes).filter(|h| h.record_bytes() > bytes.len()) {
        bytes = read(file, at.offset, limit, header.record_bytes())?;
    }
    let mut records = Vec::new();
    let mut at = at;
    while let Some(record) = record::first(&bytes, at) {
        let record_bytes = HEADER + record.payload.len() + TRAILER;
        bytes.advance(record_bytes);
        at.offset += record_bytes as u64;
        records.push(record);
    }
    Ok((records, at.offset))
}

fn read(file: &File, offset: u64, limit: u64, most: usize) -> io::Result<Bytes> {
    let wanted = usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX).min(most);
    let mut bytes = BytesMut::zeroed(wanted);
    let mut filled = 0;
    while filled < wanted {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    Ok(bytes.freeze())
}
