//! How many bytes may come out of what went in: archives that unpack to more than any host could hold are stopped early.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::Error;

/// How much is too much.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Below this, an archive may be as compressible as it likes (a swap file of zeros); beyond it not more than `ratio_max`.
    free_bytes: u64,
    ratio_max: u64,
    /// Of one archive, unpacked.
    given_max_bytes: u64,
    refusal: &'static str,
}

/// A layer's or an image's.
pub(crate) const LAYER: Limits = Limits {
    free_bytes: 1 << 30,
    ratio_max: 100,
    given_max_bytes: 64 << 30,
    refusal: "the archive unpacks to too many bytes (policy I05)",
};

/// What is copied into a container.
pub(crate) const COPY: Limits = Limits {
    free_bytes: 64 << 20,
    ratio_max: 200,
    given_max_bytes: 64 << 30,
    refusal: "the archive unpacks to too many bytes (policy E08)",
};

pub(crate) struct Ration {
    taken: Arc<AtomicU64>,
    given: u64,
    limits: Limits,
}

/// Counts the compressed side.
pub(crate) struct Counted<R> {
    reader: R,
    taken: Arc<AtomicU64>,
}

impl Ration {
    /// `reader` is the compressed side; [`Self::give`] is called on the other.
    pub(crate) fn over<R: Read>(reader: R) -> (Counted<R>, Self) {
        Self::within(reader, LAYER)
    }

    pub(crate) fn within<R: Read>(reader: R, limits: Limits) -> (Counted<R>, Self) {
        let taken = Arc::new(AtomicU64::new(0));
        (Counted { reader, taken: Arc::clone(&taken) }, Self { taken, given: 0, limits })
    }

    /// The error carries a `domain::Error`, which `unreadable` takes out.
    pub(crate) fn give(&mut self, bytes: usize) -> io::Result<()> {
        self.given += bytes as u64;
        let Limits { free_bytes, ratio_max, given_max_bytes, refusal } = self.limits;
        let bomb = self.given > free_bytes && self.given / ratio_max > self.taken.load(Ordering::Relaxed);
        if bomb || self.given > given_max_bytes {
            return Err(io::Error::other(Error::invalid(refusal)));
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
