//! Where to begin, so that exactly the last N lines are shown, or nothing from before a time.
//!
//! stdout and stderr interleave in the middle of lines, so each stream begins at a place of its own. Lines are ordered by
//! their last bytes: a newline, or for what lacks one the last byte of the stream in its run.

use std::{io, path::Path};

use super::{
    backward::Backward,
    record::{Kind, Position, Record},
};

/// The first included line is looked for this far beyond the place where the count was reached; a longer line is cut.
const LINE_SEARCH_BYTES: u64 = 1 << 20;

/// Which streams are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Select {
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

/// A place inside a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) at: Position,
    /// Bytes of its payload that do not count.
    pub(super) skip: usize,
}

/// Where each stream begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) stdout: Place,
    pub(super) stderr: Place,
}

impl Start {
    /// Both streams at `at`.
    pub(super) fn at(at: Position) -> Self {
        let place = Place { at, skip: 0 };
        Self { stdout: place, stderr: place }
    }

    /// Where reading has to begin.
    pub(super) fn first(&self) -> Position {
        self.stdout.min(self.stderr).at
    }

    /// What of a record's payload is to be shown: from this byte on. None: nothing.
    pub(super) fn skip(&self, record: &Record) -> Option<usize> {
        let place = match record.kind {
            Kind::Stdout => self.stdout,
            Kind::Stderr => self.stderr,
            Kind::End | Kind::Lost => return Some(0),
        };
        match record.at.cmp(&place.at) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(place.skip),
            std::cmp::Ordering::Greater => Some(0),
        }
    }
}

/// Blocking. `end` as for [`Backward::new`]; `tail` in lines of the wanted streams; records before `since_unix_ns` end
/// the search.
pub(super) fn find(
    dir: &Path,
    end: Option<Position>,
    select: Select,
    tail: Option<u64>,
    since_unix_ns: u64,
) -> io::Result<Start> {
    if tail.is_none() && since_unix_ns == 0 {
        return Ok(Start::default());
    }
    let mut search = Search::new(end.unwrap_or(Position::LAST), tail);
    let mut records = Backward::new(dir, end)?;
    while !search.is_done() {
        match records.previous()? {
            Some(record) if record.unix_ns >= since_unix_ns => search.take(&record, select),
            _ => break,
        }
    }
    Ok(Start { stdout: search.stdout.first, stderr: search.stderr.first })
}

struct Search {
    /// None: all of them.
    missing: Option<u64>,
    stdout: Side,
    stderr: Side,
    searched_bytes: u64,
}

/// One stream, on the way back.
struct Side {
    /// A line of it is included whose beginning has not been met.
    open: bool,
    /// Nothing of the stream has been met since the end of the run.
    fresh: bool,
    /// The earliest place that is included.
    first: Place,
}

impl Search {
    fn new(end: Position, missing: Option<u64>) -> Self {
        let side = || Side { open: false, fresh: true, first: Place { at: end, skip: 0 } };
        Self { missing, stdout: side(), stderr: side(), searched_bytes: 0 }
    }

    fn is_done(&self) -> bool {
        let complete = !self.stdout.open && !self.stderr.open;
        self.missing == Some(0) && (complete || self.searched_bytes > LINE_SEARCH_BYTES)
    }

    fn take(&mut self, record: &Record, select: Select) {
        if self.missing == Some(0) {
            self.searched_bytes += record.payload.len() as u64;
        }
        let side = match record.kind {
            Kind::Stdout if select.stdout => &mut self.stdout,
            Kind::Stderr if select.stderr => &mut self.stderr,
            Kind::End => return self.end_of_run(),
            _ => return,
        };
        match &mut self.missing {
            None => side.first = Place { at: record.at, skip: 0 },
            Some(missing) => side.count(record, missing),
        }
    }

    /// Lines do not span runs: what is open begins with its run.
    fn end_of_run(&mut self) {
        for side in [&mut self.stdout, &mut self.stderr] {
            (side.open, side.fresh) = (false, true);
        }
    }
}

impl Side {
    fn count(&mut self, record: &Record, missing: &mut u64) {
        let bytes = &record.payload[..];
        let ends_open = !bytes.is_empty() && bytes.last() != Some(&b'\n');
        if std::mem::take(&mut self.fresh) && ends_open {
            self.line_end(missing);
        }
        let mut rest = bytes;
        while *missing > 0 || self.open {
            let Some(newline) = rest.iter().rposition(|&b| b == b'\n') else { break };
            if self.open {
                self.first = Place { at: record.at, skip: newline + 1 };
            }
            self.line_end(missing);
            rest = &rest[..newline];
        }
        if self.open {
            self.first = Place { at: record.at, skip: 0 };
        }
    }

    /// Going back, the line that ends here is met; it is included if it is one of the last N.
    fn line_end(&mut self, missing: &mut u64) {
        self.open = *missing > 0;
        *missing = missing.saturating_sub(1);
    }
}
