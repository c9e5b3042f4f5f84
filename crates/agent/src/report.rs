//! What schedulers hear of this host: one stream to one of them, one batch under way at a time.
//!
//! An observation stays here until a scheduler has acknowledged it (or a newer one of the same container), so a broken
//! stream loses nothing. A complete report at the beginning and every minute repairs what both sides lost.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use domain::{
    ContainerId, Error, ExecId, ExecObservation, HostFacts, Observation, Result, TenantId, VolumeDriver, VolumeId,
};
use rpc::{Channels, v1};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use crate::lifecycle::Engine;

/// Silence means that a host is lost after 15 s: see `domain::Host::SILENCE_S`.
const HEARTBEAT: Duration = Duration::from_secs(3);
const COMPLETE: Duration = Duration::from_secs(60);
/// Changes that come within this time go together: one transaction instead of several.
const GATHER: Duration = Duration::from_millis(15);
const ACKNOWLEDGE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(500);

/// What was seen and is not yet acknowledged.
#[derive(Debug, Default)]
pub struct Reports {
    pending: Mutex<Pending>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    containers: HashMap<ContainerId, Observation>,
    execs: HashMap<ExecId, ExecObservation>,
    deleted_volumes: HashSet<Deleted>,
}

/// A removed volume whose directory is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Deleted {
    tenant: TenantId,
    volume: VolumeId,
    shared: bool,
}

impl Reports {
    /// Replaces an older one of the same container.
    pub fn container(&self, observation: Observation) {
        self.lock().containers.insert(observation.container.clone(), observation);
        self.wake.notify_one();
    }

    pub fn exec(&self, observation: ExecObservation) {
        self.lock().execs.insert(observation.exec.clone(), observation);
        self.wake.notify_one();
    }

    fn volume_deleted(&self, deleted: Deleted) {
        self.lock().deleted_volumes.insert(deleted);
        self.wake.notify_one();
    }

    fn acknowledged(&self, batch: &Batch) {
        let mut pending = self.lock();
        for sent in &batch.containers {
            if pending.containers.get(&sent.container).is_some_and(|p| p.generation <= sent.generation) {
                pending.containers.remove(&sent.container);
            }
        }
        for sent in &batch.deleted_volumes {
            pending.deleted_volumes.remove(sent);
        }
        for sent in &batch.execs {
            if pending.execs.get(&sent.exec) == Some(sent) {
                pending.execs.remove(&sent.exec);
            }
        }
    }

    fn gather(&self) -> Batch {
        let pending = self.lock();
        Batch {
            containers: pending.containers.values().cloned().collect(),
            execs: pending.execs.values().cloned().collect(),
            deleted_volumes: pending.deleted_volumes.iter().copied().collect(),
            complete: false,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[derive(Debug)]
struct Batch {
    containers: Vec<Observation>,
    execs: Vec<ExecObservation>,
    deleted_volumes: Vec<Deleted>,
    complete: bool,
}

/// Reports until `stop`, to whichever of the schedulers answers.
pub(crate) async fn run(engine: Arc<Engine>, channels: Channels, facts: HostFacts, stop: CancellationToken) {
    let schedulers = engine.config.schedulers.clone();
    let reporter = Reporter { engine: Arc::downgrade(&engine), reports: engine.reports.clone(), facts };
    drop(engine);
    let mut troubled = false;
    for endpoint in schedulers.iter().cycle() {
        let session = async { reporter.session(channels.scheduler(endpoint)?).await };
        let outcome = tokio::select! {
            outcome = session => outcome,
            () = stop.cancelled() => return,
        };
        if let Err(error) = outcome
            && !std::mem::replace(&mut troubled, true)
        {
            tracing::warn!(endpoint, error = error.operator_text(), "cannot report, trying on");
        }
        tokio::select! {
            () = sleep(RETRY) => {}
            () = stop.cancelled() => return,
        }
    }
}

struct Reporter {
    engine: Weak<Engine>,
    reports: Arc<Reports>,
    facts: HostFacts,
}

/// One stream.
struct Session {
    sender: mpsc::Sender<v1::ReportBatch>,
    acks: Streaming<v1::ReportAck>,
    sequence: u64,
}

impl Reporter {
    /// Ends with an error only: the scheduler went away.
    async fn session(&self, mut scheduler: rpc::Scheduler) -> Result<()> {
        let (sender, receiver) = mpsc::channel(1);
        // The answer's headers may wait for the first batch: it must be in the pipe before.
        let first = self.everything()?;
        let message = self.message(1, &first, true);
        sender.try_send(message).map_err(|e| Error::because("first report", e.to_string()))?;
        let acks =
            scheduler.report(ReceiverStream::new(receiver)).await.map_err(rpc::status::from_status)?.into_inner();
        let mut session = Session { sender, acks, sequence: 1 };
        self.finish(&mut session, first).await?;
        tracing::info!("reporting");
        let mut complete_at = Instant::now() + COMPLETE;
        loop {
            let heartbeat = Instant::now() + HEARTBEAT;
            tokio::select! {
                () = self.reports.wake.notified() => sleep(GATHER).await,
                () = sleep_until(heartbeat) => {}
            }
            let batch = match Instant::now() >= complete_at {
                true => {
                    complete_at = Instant::now() + COMPLETE;
                    self.everything()?
                }
                false => self.reports.gather(),
            };
            session.sequence += 1;
            let message = self.message(session.sequence, &batch, false);
            session.sender.send(message).await.map_err(|_| Error::unavailable("the scheduler ended the stream"))?;
            self.finish(&mut session, batch).await?;
        }
    }

    /// Waits until the batch is stored.
    async fn finish(&self, session: &mut Session, batch: Batch) -> Result<()> {
        loop {
            let ack = timeout(ACKNOWLEDGE, session.acks.message()).await;
            let ack =
                ack.map_err(|e| Error::because("report not acknowledged", e))?.map_err(rpc::status::from_status)?;
            let ack = ack.ok_or_else(|| Error::unavailable("the scheduler ended the stream"))?;
            self.forget(ack.forget);
            self.delete_volumes(ack.delete_volumes);
            if ack.sequence >= session.sequence {
                self.reports.acknowledged(&batch);
                return Ok(());
            }
        }
    }

    /// What the host has, and what it had and nobody knows yet that it has not.
    fn everything(&self) -> Result<Batch> {
        let engine = self.engine.upgrade().ok_or_else(|| Error::internal("the agent is stopping"))?;
        let mut batch = self.reports.gather();
        batch.containers.retain(|o| o.removed);
        batch.containers.extend(engine.all().iter().map(|c| match c.is_made() {
            true => c.observation(),
            // Nothing was seen of it yet: only that it is on its way.
            false => Observation { generation: 0, ..c.observation() },
        }));
        batch.complete = true;
        Ok(batch)
    }

    fn message(&self, sequence: u64, batch: &Batch, with_facts: bool) -> v1::ReportBatch {
        let host_id = self.engine.upgrade().map(|e| e.config.host_id.to_string()).unwrap_or_default();
        v1::ReportBatch {
            sequence,
            host_id,
            facts: with_facts.then(|| (&self.facts).into()),
            containers: batch.containers.iter().map(Into::into).collect(),
            execs: batch.execs.iter().map(Into::into).collect(),
            complete: batch.complete,
            deleted_volumes: batch.deleted_volumes.iter().map(Into::into).collect(),
        }
    }

    fn forget(&self, keys: Vec<v1::ContainerKey>) {
        for key in keys {
            let Some(engine) = self.engine.upgrade() else { return };
            match rpc::tenant_and_container(Some(key)) {
                Ok((tenant, id)) => drop(tokio::spawn(async move { engine.forget(tenant, &id).await })),
                Err(error) => tracing::warn!(%error, "a scheduler named a strange container"),
            }
        }
    }

    /// One after the other, beside the reports; what fails is named again.
    fn delete_volumes(&self, removed: Vec<v1::RemovedVolume>) {
        let Some(engine) = self.engine.upgrade().filter(|_| !removed.is_empty()) else { return };
        tokio::spawn(async move {
            for message in removed {
                let outcome = match Deleted::try_from(message) {
                    Ok(d) => engine.delete_volume(d.tenant, d.volume, d.driver()).await.map(|gone| gone.then_some(d)),
                    Err(error) => Err(error),
                };
                match outcome {
                    Ok(Some(deleted)) => engine.reports.volume_deleted(deleted),
                    Ok(None) => {}
                    Err(error) => tracing::warn!(error = error.operator_text(), "a volume is not deleted"),
                }
            }
        });
    }
}

impl Deleted {
    fn driver(self) -> VolumeDriver {
        if self.shared { VolumeDriver::Shared } else { VolumeDriver::Local }
    }
}

impl TryFrom<v1::RemovedVolume> for Deleted {
    type Error = Error;
    fn try_from(m: v1::RemovedVolume) -> Result<Self> {
        Ok(Self { tenant: m.tenant_id.parse()?, volume: m.volume_id.parse()?, shared: m.shared })
    }
}

impl From<&Deleted> for v1::RemovedVolume {
    fn from(d: &Deleted) -> Self {
        Self { tenant_id: d.tenant.to_string(), volume_id: d.volume.to_string(), shared: d.shared }
    }
}
