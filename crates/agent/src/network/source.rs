//! Who knows where the containers of a network are: the schedulers, asked at the first container of a network on this host
//! and every few seconds.

use std::{sync::Arc, time::Duration};

use domain::{ContainerId, Result};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{Peer, Plane};

/// What a start waits for at the most: without an answer the network converges a little later.
const PATIENCE: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_secs(2);

/// A network with its containers on other hosts.
#[derive(Debug, Clone)]
pub struct Listing {
    pub vni: u32,
    pub name: String,
    pub generation: u64,
    pub peers: Vec<Peer>,
    /// What this host's own containers in it are called now.
    pub own: Vec<(ContainerId, String)>,
}

#[tonic::async_trait]
pub trait Source: Send + Sync {
    /// Of `known` (VNI and generation), those that have changed since.
    async fn newer(&self, known: Vec<(u32, u64)>) -> Result<Vec<Listing>>;
}

impl Plane {
    /// Learns what is new of these networks, or tries to.
    pub async fn catch_up(&self, vnis: Vec<u32>) {
        let known = vnis.into_iter().map(|vni| (vni, self.generation(vni))).collect();
        match timeout(PATIENCE, self.learn(known)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = error.operator_text(), "the network's other hosts are not known yet")
            }
            Err(_) => tracing::warn!("no scheduler tells of the network's other hosts"),
        }
    }

    async fn learn(&self, known: Vec<(u32, u64)>) -> Result<()> {
        let Some(source) = self.source() else { return Ok(()) };
        for listing in source.newer(known).await? {
            self.set_peers(listing).await?;
        }
        Ok(())
    }

    /// Until `stop`. The first round is at once: what was taken up after a restart has the names that it was made with.
    pub async fn converge(self: Arc<Self>, stop: CancellationToken) {
        let (mut troubled, mut settled) = (false, false);
        let mut timer = interval(PERIOD);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                () = stop.cancelled() => return,
            }
            let known = self.networks().await;
            if known.is_empty() && settled {
                continue;
            }
            let learnt = self.learn(known).await;
            let learnt = match learnt.is_ok() && !settled {
                true => self.settle().await,
                false => learnt,
            };
            match learnt {
                Ok(()) => (troubled, settled) = (false, true),
                Err(error) if !std::mem::replace(&mut troubled, true) => {
                    tracing::warn!(error = error.operator_text(), "networks do not converge, trying on");
                }
                Err(_) => {}
            }
        }
    }
}
