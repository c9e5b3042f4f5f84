//! `stats`: samples of a container, by one sampler for all who watch it.

use std::sync::Arc;

use chrono::Utc;
use domain::{ContainerId, Observation, Result, Status, TenantId};
use rpc::v1::StatsSample;

use super::{Container, Engine};
use crate::measure::{self, Samples};

impl Engine {
    /// One sample, now. Of a container that does not run it says just that.
    pub async fn sample(self: &Arc<Self>, tenant: TenantId, id: &ContainerId) -> Result<StatsSample> {
        let container = self.find(tenant, id)?;
        Ok(self.read_stats(&container).await)
    }

    /// A sample each second, until the container is removed.
    pub(crate) fn watch_stats(self: &Arc<Self>, tenant: TenantId, id: &ContainerId) -> Result<Samples> {
        let container = self.find(tenant, id)?;
        let engine = self.clone();
        Ok(self.samplers.watch(id, move || {
            let (engine, container) = (engine.clone(), container.clone());
            async move {
                match container.observation().removed {
                    true => None,
                    false => Some(engine.read_stats(&container).await),
                }
            }
        }))
    }

    /// A run that ends meanwhile has no cgroup any more, and reads as one that has ended.
    async fn read_stats(&self, container: &Container) -> StatsSample {
        let seen = container.observation();
        if !matches!(seen.status, Status::Running | Status::Paused) || seen.pid == 0 {
            return StatsSample::default();
        }
        let cgroup = crate::spec::cgroup_path(&self.config.cgroup_parent, container.accepted.tenant, container.id());
        let cpu_millis = container.limits().resources.cpu_millis;
        let read = tokio::task::spawn_blocking(move || {
            measure::sample(&cgroup, seen.pid, cpu_millis, elapsed_ns(&seen)).unwrap_or_default()
        });
        read.await.unwrap_or_default()
    }
}

fn elapsed_ns(seen: &Observation) -> u64 {
    let elapsed = seen.started_at.map(|at| Utc::now() - at).and_then(|d| d.num_nanoseconds());
    elapsed.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
}
