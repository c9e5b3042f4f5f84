//! Who knows what is published: the schedulers, asked every few seconds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{Error, Result};
use rpc::{Channels, v1};
use tokio_util::sync::CancellationToken;
use tonic::Request;

use crate::{Config, table::Table};

const PERIOD: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) struct Source {
    channels: Channels,
    schedulers: Vec<String>,
    /// The one that answered last.
    used: AtomicUsize,
    advertise: String,
    table: Arc<Table>,
}

impl Source {
    pub(crate) fn new(channels: Channels, config: &Config, table: Arc<Table>) -> Self {
        let (schedulers, advertise) = (config.schedulers.clone(), config.advertise.clone());
        Self { channels, schedulers, used: AtomicUsize::new(0), advertise, table }
    }

    /// Applies what is new.
    pub(crate) async fn learn(&self) -> Result<()> {
        let news = self.ask().await?;
        let mut outcome = Ok(());
        for address in &news.addresses {
            // One port that cannot be had must not keep the others back.
            outcome = self.table.apply(address).and(outcome);
        }
        self.table.forget(&news.gone);
        outcome
    }

    async fn ask(&self) -> Result<v1::NewerPortsReply> {
        let first = self.used.load(Ordering::Relaxed);
        let mut failed = Error::unavailable("no scheduler is configured");
        for n in 0..self.schedulers.len() {
            let index = (first + n) % self.schedulers.len();
            let mut request =
                Request::new(v1::NewerPortsRequest { endpoint: self.advertise.clone(), known: self.table.known() });
            request.set_timeout(DEADLINE);
            match self.channels.scheduler(&self.schedulers[index])?.newer_ports(request).await {
                Ok(reply) => {
                    self.used.store(index, Ordering::Relaxed);
                    return Ok(reply.into_inner());
                }
                Err(status) => failed = rpc::status::from_status(status),
            }
        }
        Err(failed)
    }

    /// Until `stop`.
    pub(crate) async fn converge(self: Arc<Self>, stop: CancellationToken) {
        let mut troubled = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stop.cancelled() => return,
            }
            let outcome = self.learn().await.and(self.table.try_again());
            match outcome {
                Ok(()) => troubled = false,
                Err(error) if !std::mem::replace(&mut troubled, true) => {
                    tracing::warn!(error = error.operator_text(), "published ports do not converge, trying on");
                }
                Err(_) => {}
            }
        }
    }
}
