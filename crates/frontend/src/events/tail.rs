//! The tail: reads the log of all tenants from horizon to horizon, and hands each its own.
//!
//! It sleeps while nobody listens. A window is handed out and the position moved under one lock, and under the same lock a
//! subscriber gets its receiver and the position: what is below has been handed out before, what is above will be.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Error, Result, TenantId};
use inventory::{Inventory, Listener, Recorded, Window};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

/// Windows that a subscriber may be behind before it has to read the log itself.
const BEHIND_MOST: usize = 128;
/// A wake-up that was lost costs this much.
const POLL: Duration = Duration::from_millis(500);
/// A transaction that still runs holds back what came after it: looked at again after this, and ever more rarely.
const HELD_BACK: Duration = Duration::from_millis(5);
const HELD_BACK_MOST: Duration = Duration::from_millis(200);
const TROUBLE: Duration = Duration::from_millis(250);
/// Streams of one tenant at this frontend.
const STREAMS_MOST: usize = 512;

/// What one tenant gets of a window.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The window's end.
    pub(crate) upto: u64,
    pub(crate) events: Vec<Recorded>,
}

pub(crate) type Batches = broadcast::Receiver<Arc<Batch>>;

pub(crate) struct Tail {
    inventory: Inventory,
    listeners: Mutex<Listeners>,
    /// Somebody came while nobody was there.
    wanted: Notify,
    /// The position; None while the tail sleeps. Changed only under the lock.
    position: watch::Sender<Option<u64>>,
}

#[derive(Default)]
struct Listeners(HashMap<TenantId, broadcast::Sender<Arc<Batch>>>);

impl Tail {
    pub(crate) fn new(inventory: Inventory) -> Self {
        let listeners = Mutex::default();
        Self { inventory, listeners, wanted: Notify::new(), position: watch::Sender::new(None) }
    }

    /// The tenant's batches from now on, and the horizon below which they hold nothing that counts.
    ///
    /// # Errors
    /// None where the tenant has too many streams already.
    pub(crate) async fn subscribe(&self, tenant: TenantId) -> Option<(u64, Batches)> {
        let (receiver, position) = {
            let mut listeners = self.lock();
            let sender = listeners.0.entry(tenant).or_insert_with(|| broadcast::Sender::new(BEHIND_MOST));
            if sender.receiver_count() >= STREAMS_MOST {
                return None;
            }
            (sender.subscribe(), *self.position.borrow())
        };
        if let Some(position) = position {
            return Some((position, receiver));
        }
        self.wanted.notify_one();
        // The tail's first position is read after the receiver was made.
        let mut position = self.position.subscribe();
        let position = position.wait_for(Option::is_some).await.ok().and_then(|p| *p)?;
        Some((position, receiver))
    }

    /// Until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.wanted.notified() => (),
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = self.follow() => (),
                () = stop.cancelled() => return,
            }
        }
    }

    /// While somebody listens.
    async fn follow(&self) {
        let Some(mut position) = self.begin().await else { return };
        let mut bell = None;
        let mut pause = HELD_BACK;
        loop {
            let wait = match self.inventory.events_since(position).await {
                Ok(window) => {
                    position = window.upto;
                    pause = if window.pending { (pause * 2).min(HELD_BACK_MOST) } else { HELD_BACK };
                    let wait = if window.pending { pause } else { POLL };
                    if !self.hand_out(window) {
                        return;
                    }
                    wait
                }
                Err(error) => {
                    tracing::warn!(cause = error.operator_text(), "events are not read");
                    TROUBLE
                }
            };
            self.rest(&mut bell, wait).await;
        }
    }

    /// The first position; None if everybody has left before there was one.
    async fn begin(&self) -> Option<u64> {
        loop {
            match self.inventory.events_horizon().await {
                Ok(horizon) => {
                    let listeners = self.lock();
                    self.position.send_replace(Some(horizon));
                    drop(listeners);
                    return Some(horizon);
                }
                Err(error) => tracing::warn!(cause = error.operator_text(), "events are not read"),
            }
            tokio::time::sleep(TROUBLE).await;
        }
    }

    /// False: nobody is left, and the tail sleeps.
    fn hand_out(&self, window: Window) -> bool {
        let mut by_tenant: BTreeMap<TenantId, Vec<Recorded>> = BTreeMap::new();
        for event in window.events {
            by_tenant.entry(event.tenant).or_default().push(event);
        }
        let mut listeners = self.lock();
        listeners.0.retain(|_, sender| sender.receiver_count() > 0);
        for (tenant, events) in by_tenant {
            if let Some(sender) = listeners.0.get(&tenant) {
                let _ = sender.send(Arc::new(Batch { upto: window.upto, events }));
            }
        }
        let anybody = !listeners.0.is_empty();
        self.position.send_replace(anybody.then_some(window.upto));
        anybody
    }

    /// Until somebody rings, at most for `wait`.
    async fn rest(&self, bell: &mut Option<Listener>, wait: Duration) {
        if bell.is_none() {
            *bell = self.inventory.listen().await.inspect_err(unheard).ok();
        }
        let Some(listener) = bell else { return tokio::time::sleep(wait.min(TROUBLE)).await };
        match tokio::time::timeout(wait, listener.rung()).await {
            Ok(Ok(())) | Err(_) => (),
            Ok(Err(error)) => {
                unheard(&error);
                *bell = None;
                tokio::time::sleep(TROUBLE).await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A position at which everything shows that was committed before the call; the present one if that takes too long.
    pub(crate) async fn caught_up(&self, patience: Duration) -> Result<u64> {
        let barrier = self.inventory.events_barrier().await?;
        let begun = tokio::time::Instant::now();
        loop {
            let horizon = self.inventory.events_horizon().await?;
            if horizon >= barrier || begun.elapsed() >= patience {
                return Ok(horizon);
            }
            tokio::time::sleep(HELD_BACK).await;
        }
    }
}

fn unheard(error: &Error) {
    tracing::debug!(cause = error.operator_text(), "the bell is not heard");
}
