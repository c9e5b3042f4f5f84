//! Transfers of this process, by digest: who wants a blob that is on its way waits for it instead of fetching it too.
//!
//! A flight is a lock with a byte counter. If its holder gives up (the client has gone), the next one in line finds the
//! blob missing and fetches it itself. Two frontends may fetch the same blob; the second rename changes nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::Digest;

#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<Digest, Weak<Flight>>>);

#[derive(Default)]
pub(crate) struct Flight {
    pub(crate) turn: tokio::sync::Mutex<()>,
    received_bytes: AtomicU64,
}

impl Flights {
    /// The blob's flight, on its way or new.
    pub(crate) fn board(&self, digest: &Digest) -> Arc<Flight> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(digest).and_then(Weak::upgrade) {
            return flight;
        }
        flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::new(Flight::default());
        flights.insert(digest.clone(), Arc::downgrade(&flight));
        flight
    }
}

impl Flight {
    pub(crate) fn received(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_received(&self, bytes: u64) {
        self.received_bytes.store(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_flight_for_each_digest_while_somebody_is_aboard() {
        let flights = Flights::default();
        let digest = Digest::of(b"x");
        let first = flights.board(&digest);
        first.set_received(7);
        assert_eq!(flights.board(&digest).received(), 7);
        drop(first);
        assert_eq!(flights.board(&digest).received(), 0);
    }
}
