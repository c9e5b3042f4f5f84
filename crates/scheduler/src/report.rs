//! One agent's stream of reports. A batch is acknowledged once it is stored, never before: the agent keeps it until then.
//!
//! Any error ends the stream; the agent comes back, perhaps to another scheduler, with its facts and a complete report.

use std::time::{Duration, Instant};

use domain::{Error, ExecObservation, HostFacts, HostId, Kind, Observation, Result, VolumeId};
use inventory::{Inventory, RemovedVolume};
use rpc::v1;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

/// A sign of life is stored at most this often; hosts count as silent after 15 s.
const SEEN_PERIOD: Duration = Duration::from_secs(2);

pub(crate) struct Reporting {
    inventory: Inventory,
    /// As the certificate says.
    host: HostId,
    seen: Option<Instant>,
    asked_for_volumes: Option<Instant>,
    /// It has the cluster file system.
    shared_volumes: bool,
    stop: CancellationToken,
}

impl Reporting {
    pub(crate) fn new(inventory: Inventory, host: HostId, stop: CancellationToken) -> Self {
        Self { inventory, host, seen: None, asked_for_volumes: None, shared_volumes: false, stop }
    }

    pub(crate) async fn run(
        mut self,
        mut batches: Streaming<v1::ReportBatch>,
        acks: mpsc::Sender<Result<v1::ReportAck, Status>>,
    ) {
        let stop = self.stop.clone();
        loop {
            let batch = tokio::select! {
                batch = batches.message() => batch,
                () = stop.cancelled() => return,
                () = acks.closed() => return,
            };
            let answer = match batch {
                Ok(Some(batch)) => self.store(batch).await,
                // The agent went away; it comes back by itself.
                Ok(None) | Err(_) => return,
            };
            let failed = answer.is_err();
            if let Err(error) = &answer {
                tracing::warn!(host.id = %self.host, error = error.operator_text(), "a report is not stored");
            }
            if acks.send(answer.map_err(rpc::status::to_status)).await.is_err() || failed {
                return;
            }
        }
    }

    async fn store(&mut self, batch: v1::ReportBatch) -> Result<v1::ReportAck> {
        if batch.host_id.parse::<HostId>()? != self.host {
            return Err(Error::forbidden("an agent reports for its own host only"));
        }
        self.note_host(batch.facts).await?;
        let containers: Vec<Observation> = all(batch.containers)?;
        let execs: Vec<ExecObservation> = all(batch.execs)?;
        let deleted = batch.deleted_volumes.iter().map(|v| v.volume_id.parse()).collect::<Result<Vec<VolumeId>>>()?;
        if !deleted.is_empty() {
            self.inventory.volumes_deleted(self.host, &deleted).await?;
        }
        let mut forget = Vec::new();
        if batch.complete || !containers.is_empty() || !execs.is_empty() {
            let unknown = self.inventory.ingest(self.host, &containers, &execs, batch.complete).await?;
            forget = unknown.iter().map(|(tenant, container)| rpc::container_key(*tenant, container)).collect();
        }
        Ok(v1::ReportAck { sequence: batch.sequence, forget, delete_volumes: self.volumes_to_delete().await? })
    }

    /// Looked up now and then: nobody waits for it.
    async fn volumes_to_delete(&mut self) -> Result<Vec<v1::RemovedVolume>> {
        if self.asked_for_volumes.is_some_and(|at| at.elapsed() < SEEN_PERIOD) {
            return Ok(Vec::new());
        }
        self.asked_for_volumes = Some(Instant::now());
        let removed = self.inventory.removed_volumes(self.host, self.shared_volumes).await?;
        let message = |v: RemovedVolume| v1::RemovedVolume {
            tenant_id: v.tenant.to_string(),
            volume_id: v.id.to_string(),
            shared: v.shared,
        };
        Ok(removed.into_iter().map(message).collect())
    }

    async fn note_host(&mut self, facts: Option<v1::HostFacts>) -> Result<()> {
        if let Some(facts) = facts {
            let facts = HostFacts::try_from(facts)?;
            self.shared_volumes = facts.shared_volumes;
            self.inventory.register_host(self.host, &self.name().await, &facts).await?;
            tracing::info!(host.id = %self.host, endpoint = facts.endpoint, "a host reports");
        } else if self.seen.is_none_or(|at| at.elapsed() >= SEEN_PERIOD) {
            if !self.inventory.host_seen(self.host).await? {
                return Err(Error::not_found(Kind::Host, self.host.to_string()));
            }
        } else {
            return Ok(());
        }
        self.seen = Some(Instant::now());
        Ok(())
    }

    /// Operators may have given it a name; a new host has its id for one.
    async fn name(&self) -> String {
        match self.inventory.host(self.host).await {
            Ok(host) => host.name,
            Err(_) => self.host.to_string(),
        }
    }
}

fn all<P, T: TryFrom<P, Error = Error>>(protos: Vec<P>) -> Result<Vec<T>> {
    protos.into_iter().map(T::try_from).collect()
}
