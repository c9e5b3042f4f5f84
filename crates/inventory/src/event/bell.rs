//! Waking the readers of events in all processes: `NOTIFY`, as a hint only.
//!
//! It is sent from a transaction of its own, because a `NOTIFY` makes the commit of its transaction wait for every other
//! that has one. A process sends one for all that it wrote within a moment; one that is lost costs a reader's next poll.

use std::time::Duration;

use domain::Result;
use sqlx::{PgPool, postgres::PgListener};
use tokio::sync::mpsc;

use crate::{Inventory, failure};

const CHANNEL: &str = "wharfinger_events";
/// What is written meanwhile shares the next notification.
const PAUSE: Duration = Duration::from_millis(10);
/// Nothing is lost with a notification: its commit need not reach the disk.
const NOTIFY: &str = "BEGIN; SET LOCAL synchronous_commit TO off; NOTIFY wharfinger_events; COMMIT";

#[derive(Clone, Debug)]
pub(crate) struct Bell(mpsc::Sender<()>);

impl Bell {
    /// Rings until the last clone is dropped.
    pub(crate) fn hang(pool: PgPool) -> Self {
        let (sender, mut rung) = mpsc::channel(1);
        tokio::spawn(async move {
            while rung.recv().await.is_some() {
                if let Err(cause) = sqlx::raw_sql(NOTIFY).execute(&pool).await {
                    tracing::debug!(%cause, "readers of events are not woken");
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self(sender)
    }

    /// Events were committed. Never waits.
    pub(crate) fn ring(&self) {
        let _ = self.0.try_send(());
    }
}

/// A connection that hears the bell. Holds one of the pool.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Inventory {
    pub async fn listen(&self) -> Result<Listener> {
        let context = "listen for events";
        let mut listener = PgListener::connect_with(&self.pool).await.map_err(|e| failure::translate(context, e))?;
        listener.listen(CHANNEL).await.map_err(|e| failure::translate(context, e))?;
        Ok(Listener(listener))
    }
}

impl Listener {
    /// Until somebody rings. An error means that the connection broke: what was rung meanwhile is not known.
    pub async fn rung(&mut self) -> Result<()> {
        match self.0.try_recv().await {
            Ok(_) => Ok(()),
            Err(e) => Err(failure::translate("listen for events", e)),
        }
    }
}
