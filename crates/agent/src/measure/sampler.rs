//! One sampler for a container, however many watch it.
//!
//! It begins with the first who watches, reads once a second, and ends when nobody does. Who comes while it runs waits for
//! its next sample; a slow watcher misses samples, and none of them waits for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::ContainerId;
use rpc::v1::StatsSample;
use tokio::{sync::watch, time::MissedTickBehavior};

/// dockerd's.
const PERIOD: Duration = Duration::from_secs(1);

/// Of one watcher: the newest sample each time it has changed. Closed once the container is gone.
pub(crate) type Samples = watch::Receiver<Arc<StatsSample>>;

type Running = HashMap<ContainerId, watch::Sender<Arc<StatsSample>>>;

#[derive(Debug)]
pub(crate) struct Samplers {
    period: Duration,
    running: Mutex<Running>,
}

impl Default for Samplers {
    fn default() -> Self {
        Self { period: PERIOD, running: Mutex::default() }
    }
}

impl Samplers {
    /// Joins the container's sampler or starts one. `read` gives None once the container is gone.
    pub(crate) fn watch<F, R>(self: &Arc<Self>, id: &ContainerId, read: F) -> Samples
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Option<StatsSample>> + Send,
    {
        let mut running = self.lock();
        if let Some(sender) = running.get(id) {
            return sender.subscribe();
        }
        let (sender, samples) = watch::channel(Arc::default());
        running.insert(id.clone(), sender);
        drop(running);
        let (samplers, id) = (self.clone(), id.clone());
        tokio::spawn(async move { samplers.run(&id, read).await });
        samples
    }

    async fn run<F, R>(&self, id: &ContainerId, read: F)
    where
        F: Fn() -> R,
        R: Future<Output = Option<StatsSample>>,
    {
        let mut ticks = tokio::time::interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let sample = read().await;
            let mut running = self.lock();
            // Under the lock, so that nobody joins a sampler that is about to end.
            match (running.get(id), sample) {
                (Some(sender), Some(sample)) if sender.receiver_count() > 0 => drop(sender.send(Arc::new(sample))),
                _ => {
                    running.remove(id);
                    return;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn fast() -> Arc<Samplers> {
        Arc::new(Samplers { period: Duration::from_millis(100), running: Mutex::default() })
    }

    #[tokio::test]
    async fn many_watchers_cost_one_reading_a_second() {
        let (samplers, id) = (fast(), ContainerId::random());
        let reads = Arc::new(AtomicU64::new(0));
        let read = |reads: &Arc<AtomicU64>| {
            let reads = reads.clone();
            move || {
                let n = reads.fetch_add(1, Ordering::SeqCst) + 1;
                async move { Some(StatsSample { pids: n, ..Default::default() }) }
            }
        };
        let mut watchers: Vec<_> = (0..10).map(|_| samplers.watch(&id, read(&reads))).collect();
        for expected in 1..=3 {
            for watcher in &mut watchers {
                watcher.changed().await.expect("a sample");
                assert_eq!(watcher.borrow_and_update().pids, expected);
            }
        }
        assert_eq!(reads.load(Ordering::SeqCst), 3);
        drop(watchers);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(samplers.lock().is_empty());
        let after = reads.load(Ordering::SeqCst);
        samplers.watch(&id, read(&reads)).changed().await.expect("a new sampler");
        assert_eq!(reads.load(Ordering::SeqCst), after + 1);
    }

    #[tokio::test]
    async fn the_end_of_the_container_ends_the_stream() {
        let samplers = fast();
        let mut samples = samplers.watch(&ContainerId::random(), || async { None });
        assert!(samples.changed().await.is_err());
    }
}
