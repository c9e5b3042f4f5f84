//! Whether a tree is the one that was read before, without reading it: the times of change of all that it holds.
//!
//! A container cannot forge these (`ctime` follows the host's clock), and every change of data or attributes moves them,
//! except within one tick of the clock, and through pages that were mapped for writing before. Who compares signatures
//! must rule out both: see [`Signature::is_settled_at`] and `lifecycle::layer`.

use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::walk::Entry;

/// Many ticks of the coarse clock that stamps files.
const TICK: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(crate) struct Signature {
    hash: Sha256,
    newest_ns: i128,
}

impl Signature {
    pub(super) fn begin() -> Self {
        Self { hash: Sha256::new(), newest_ns: i128::MIN }
    }

    pub(super) fn add(&mut self, entry: &Entry<'_>) {
        let stat = entry.stat;
        self.hash.update((entry.path.len() as u64).to_le_bytes());
        self.hash.update(entry.path);
        for number in [stat.st_dev, stat.st_ino, stat.st_nlink, stat.st_rdev, u64::from(stat.st_mode)] {
            self.hash.update(number.to_le_bytes());
        }
        for number in [stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec] {
            self.hash.update(number.to_le_bytes());
        }
        let changed_ns = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
        self.newest_ns = self.newest_ns.max(changed_ns);
    }

    /// A change after `at` has a later time than anything that was seen.
    pub(crate) fn is_settled_at(&self, at: SystemTime) -> bool {
        let Ok(since_epoch) = at.duration_since(SystemTime::UNIX_EPOCH) else { return false };
        self.newest_ns < since_epoch.saturating_sub(TICK).as_nanos().cast_signed()
    }

    pub(crate) fn bytes(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
}
