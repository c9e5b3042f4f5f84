//! Reads segments from the end, for `--tail` and `--since` on a large log.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};

use super::{
    reader::whole_records,
    record::{self, HEADER, MAX_PAYLOAD, Position, Record, TRAILER},
};

/// One read backwards.
const WINDOW_BYTES: u64 = 256 << 10;

/// Walks from the end to the oldest record.
#[derive(Debug)]
pub(super) struct Backward {
    dir: PathBuf,
    /// Not yet visited, oldest first.
    segments: Vec<u64>,
    end: Option<Position>,
    here: Option<Here>,
}

#[derive(Debug)]
struct Here {
    file: File,
    /// Everything from here on has been visited.
    at: Position,
    window: Bytes,
    window_at: u64,
}

impl Backward {
    /// From `end` (None: from the last whole record on disk).
    pub(super) fn new(dir: &Path, end: Option<Position>) -> io::Result<Self> {
        let mut segments = record::segments(dir)?;
        segments.retain(|&n| end.is_none_or(|e| n <= e.segment));
        Ok(Self { dir: dir.into(), segments, end, here: None })
    }

    /// The record before the last one given; None at the start of the log, or where it is damaged.
    pub(super) fn previous(&mut self) -> io::Result<Option<Record>> {
        loop {
            if self.here.as_ref().is_none_or(|h| h.at.offset == 0) && !self.enter()? {
                return Ok(None);
            }
            let Some(here) = &mut self.here else { return Ok(None) };
            if here.at.offset > 0 {
                return here.previous();
            }
        }
    }

    fn enter(&mut self) -> io::Result<bool> {
        let Some(number) = self.segments.pop() else { return Ok(false) };
        let file = match File::open(record::segment_path(&self.dir, number)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false), // rotated away meanwhile, and all before it
            Err(e) => return Err(e),
        };
        let offset = match self.end.filter(|e| e.segment == number) {
            Some(end) => end.offset,
            None => whole_end(&file, number)?,
        };
        let at = Position { segment: number, offset };
        self.here = Some(Here { file, at, window: Bytes::new(), window_at: offset });
        Ok(true)
    }
}

impl Here {
    fn previous(&mut self) -> io::Result<Option<Record>> {
        let Some(len) = self.payload_bytes()? else { return Ok(None) };
        let record_bytes = (HEADER + TRAILER) as u64 + len;
        let Some(offset) = self.at.offset.checked_sub(record_bytes) else { return Ok(None) };
        let at = Position { offset, ..self.at };
        let record = record::first(&self.last(record_bytes)?, at);
        if record.is_some() {
            self.at = at;
        }
        Ok(record)
    }

    fn payload_bytes(&mut self) -> io::Result<Option<u64>> {
        let trailer = self.last(TRAILER as u64)?;
        let len = trailer.first_chunk().map(|&b| u32::from_le_bytes(b));
        Ok(len.filter(|&l| l as usize <= MAX_PAYLOAD).map(u64::from))
    }

    /// The `count` bytes before the place where we are; shorter at the start of the file.
    fn last(&mut self, count: u64) -> io::Result<Bytes> {
        let from = self.at.offset.saturating_sub(count);
        if from < self.window_at || self.at.offset > self.window_at + self.window.len() as u64 {
            let window_at = self.at.offset.saturating_sub(count.max(WINDOW_BYTES));
            let mut bytes = BytesMut::zeroed(usize::try_from(self.at.offset - window_at).map_err(io::Error::other)?);
            self.file.read_exact_at(&mut bytes, window_at)?;
            (self.window, self.window_at) = (bytes.freeze(), window_at);
        }
        let [from, to] = [from, self.at.offset].map(|offset| (offset - self.window_at) as usize);
        Ok(self.window.slice(from..to))
    }
}

/// Where the whole records of the log end, if no logger is there to tell.
pub(super) fn disk_end(dir: &Path) -> io::Result<Position> {
    let Some(&segment) = record::segments(dir)?.last() else { return Ok(Position::default()) };
    let file = File::open(record::segment_path(dir, segment))?;
    Ok(Position { segment, offset: whole_end(&file, segment)? })
}

fn whole_end(file: &File, segment: u64) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let at = Position { segment, offset: size };
    let mut last = Here { file: file.try_clone()?, at, window: Bytes::new(), window_at: size };
    if size == 0 || last.previous().is_ok_and(|r| r.is_some()) {
        return Ok(size);
    }
    let mut end = Position { segment, offset: 0 };
    loop {
        match whole_records(file, end, size)? {
            (records, _) if records.is_empty() => return Ok(end.offset),
            (_, next) => end.offset = next,
        }
    }
}
