//! The segments `<dir>/<8 digits>.log`: append, rotate, prune.
//!
//! A failed write leaves no half record behind: the segment is cut back, and a `Lost` record tells of the gap as soon
//! as there is room again. Nothing here fails towards the caller, since there is nobody who could act on it.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, IoSlice, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    record::{self, HEADER, Kind, TRAILER},
    tail::whole_records_end,
};

/// What a follower may hold back from pruning.
pub(crate) const EXTRA_BYTES: u64 = 64 << 20;
/// How long the previous run's logger may take to leave the directory to us.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// A place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

struct Current {
    file: File,
    number: u64,
    bytes: u64,
}

/// The directory of one container's segments, which one logger at a time writes.
pub(crate) struct Segments {
    dir: PathBuf,
    max_bytes: u64,
    max_files: usize,
    current: Option<Current>,
    /// Number and size, oldest first, without the current one.
    older: VecDeque<(u64, u64)>,
    /// The number that a new segment gets.
    next: u64,
    lost_bytes: u64,
    reopen_at: Option<Instant>,
    _lock: Option<File>,
}

impl Segments {
    /// Goes on in the newest segment, cut back to its last whole record.
    pub(crate) fn open(dir: &Path, max_bytes: u64, max_files: usize) -> Self {
        let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        let lock = lock(dir);
        let mut older = list(dir);
        let next = older.back().map_or(1, |&(number, _)| number + 1);
        // Another logger may still be writing if the lock was not to be had: leave its segment alone.
        let newest = if lock.is_some() { older.pop_back() } else { None };
        let current = newest.and_then(|(number, _)| reopen(dir, number).ok());
        let max_files = max_files.max(1);
        let mut segments = Self {
            dir: dir.into(),
            max_bytes,
            max_files,
            current,
            older,
            next,
            lost_bytes: 0,
            reopen_at: None,
            _lock: lock,
        };
        segments.ensure_current();
        segments
    }

    /// After the last whole record.
    pub(crate) fn position(&self) -> Position {
        match &self.current {
            Some(c) => Position { segment: c.number, offset: c.bytes },
            None => Position { segment: self.next, offset: 0 },
        }
    }

    /// Appends one record; what cannot be written is counted as lost.
    pub(crate) fn append(&mut self, kind: Kind, payload: &[u8]) {
        let record_bytes = (HEADER + payload.len() + TRAILER) as u64;
        self.rotate_before(record_bytes);
        let lost = self.lost_bytes;
        let written = self.ensure_current().is_some_and(|c| c.write(lost, kind, payload).is_ok());
        match written {
            true => self.lost_bytes = 0,
            false => self.lost_bytes = lost.saturating_add(payload.len() as u64),
        }
    }

    /// Removes what is beyond `max_files`, unless a follower still needs it (`wanted`: the oldest segment that one reads)
    /// and either it is little or the follower must not lose it.
    pub(crate) fn prune(&mut self, wanted: Option<u64>, lossless: Option<u64>) {
        while let Some(oldest) = self.oldest_surplus() {
            let wanted = wanted.is_some_and(|w| w <= oldest) && self.surplus_bytes() <= EXTRA_BYTES;
            if wanted || lossless.is_some_and(|w| w <= oldest) {
                return;
            }
            let _ = fs::remove_file(path(&self.dir, oldest));
            self.older.pop_front();
        }
    }

    /// True when the follower at `lossless` must catch up before more may be written.
    pub(crate) fn is_pressed(&self, lossless: Option<u64>) -> bool {
        self.surplus_bytes() > EXTRA_BYTES && self.oldest_surplus().is_some_and(|n| lossless.is_some_and(|w| w <= n))
    }

    /// Whether there are segments that only a follower holds back.
    pub(crate) fn has_surplus(&self) -> bool {
        self.oldest_surplus().is_some()
    }

    fn surplus(&self) -> impl Iterator<Item = &(u64, u64)> {
        self.older.iter().take((self.older.len() + 1).saturating_sub(self.max_files))
    }

    fn oldest_surplus(&self) -> Option<u64> {
        self.surplus().next().map(|&(number, _)| number)
    }

    fn surplus_bytes(&self) -> u64 {
        self.surplus().map(|&(_, bytes)| bytes).sum()
    }

    /// When no new file can be made, the old one grows on.
    fn rotate_before(&mut self, record_bytes: u64) {
        let Some(full) = self.current.as_ref().filter(|c| c.bytes > 0 && c.bytes + record_bytes > self.max_bytes)
        else {
            return;
        };
        let (number, bytes) = (full.number, full.bytes);
        if let Ok(fresh) = create(&self.dir, self.next) {
            self.older.push_back((number, bytes));
            self.next = fresh.number + 1;
            self.current = Some(fresh);
        }
    }

    fn ensure_current(&mut self) -> Option<&mut Current> {
        if self.current.is_none() && self.reopen_at.is_none_or(|at| at <= Instant::now()) {
            self.reopen_at = Some(Instant::now() + REOPEN_PAUSE);
            self.current = create(&self.dir, self.next).ok();
            self.next += u64::from(self.current.is_some());
        }
        self.current.as_mut()
    }
}

impl Current {
    /// One system call in the usual case. A gap and the record after it are written both or neither, so that a full
    /// disk does not fill its last bytes with tales of gaps.
    fn write(&mut self, lost_bytes: u64, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let now = record::now_unix_ns();
        let len = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let (header, trailer) = (record::header(kind, len, now), len.to_le_bytes());
        let (gap_header, gap, gap_trailer) =
            (record::header(Kind::Lost, 8, now), lost_bytes.to_le_bytes(), 8u32.to_le_bytes());
        let parts: [&[u8]; 6] = [&gap_header, &gap, &gap_trailer, &header, payload, &trailer];
        let parts = if lost_bytes > 0 { &parts[..] } else { &parts[3..] };
        let written = write_all(&self.file, parts);
        match written {
            Ok(bytes) => self.bytes += bytes,
            Err(_) => self.file.set_len(self.bytes)?,
        }
        written.map(drop)
    }
}

fn write_all(mut file: &File, parts: &[&[u8]]) -> io::Result<u64> {
    let mut slices = [IoSlice::new(&[]); 6];
    slices.iter_mut().zip(parts).for_each(|(slice, part)| *slice = IoSlice::new(part));
    let total: usize = parts.iter().map(|p| p.len()).sum();
    let (mut rest, mut written) = (&mut slices[..], 0);
    while written < total {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                written += n;
                IoSlice::advance_slices(&mut rest, n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(total as u64)
}

/// The logger of the previous run of a terminal may live a moment longer than its task.
fn lock(dir: &Path) -> Option<File> {
    let dir = File::open(dir).ok()?;
    let until = Instant::now() + LOCK_WAIT;
    while dir.try_lock().is_err() {
        if Instant::now() >= until {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Some(dir)
}

/// Number and size of each segment, oldest first.
fn list(dir: &Path) -> VecDeque<(u64, u64)> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok()?;
            Some((number, entry.metadata().ok()?.len()))
        })
        .collect();
    found.sort_unstable();
    found.into()
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

fn create(dir: &Path, number: u64) -> io::Result<Current> {
    let file = File::options().create(true).append(true).mode(0o600).open(path(dir, number))?;
    Ok(Current { file, number, bytes: 0 })
}

fn reopen(dir: &Path, number: u64) -> io::Result<Current> {
    let file = File::options().read(true).append(true).open(path(dir, number))?;
    let size = file.metadata()?.len();
    let bytes = whole_records_end(&file, size);
    if bytes < size {
        file.set_len(bytes)?;
    }
    Ok(Current { file, number, bytes })
}
