//! How many bytes may come out of what went in: archives that unpack to more than any host could hold are stopped early.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::Error;

/// Below this, an archive may be as compressible as it likes (a swap file of zeros); beyond it not more than `RATIO_MAX`.
const RATIO_FREE_BYTES: u64 = 1 << 30;
const RATIO_MAX: u64 = 100;
/// Of one archive, unpacked.
const GIVEN_MAX_BYTES: u64 = 64 << 30;

pub(crate) struct Ration {
    taken: Arc<AtomicU64>,
    given: u64,
}

/// Counts the compressed side.
pub(crate) struct Counted<R> {
    reader: R,
    taken: Arc<AtomicU64>,
}

impl Ration {
    /// `reader` is the compressed side; [`Self::give`] is called on the other.
    pub(crate) fn over<R: Read>(reader: R) -> (Counted<R>, Self) {
        let taken = Arc::new(AtomicU64::new(0));
        (Counted { reader, taken: Arc::clone(&taken) }, Self { taken, given: 0 })
    }

    /// The error carries a `domain::Error`, which `unreadable` takes out.
    pub(crate) fn give(&mut self, bytes: usize) -> io::Result<()> {
        self.given += bytes as u64;
        let bomb = self.given > RATIO_FREE_BYTES && self.given / RATIO_MAX > self.taken.load(Ordering::Relaxed);
        if bomb || self.given > GIVEN_MAX_BYTES {
            return Err(io::Error::other(Error::invalid("the archive unpacks to too many bytes (policy I05)")));
        }
        Ok(())
    }

    pub(crate) fn given_bytes(&self) -> u64 {
        self.given
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buf)?;
        self.taken.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
