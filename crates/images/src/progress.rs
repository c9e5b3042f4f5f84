//! What a pull or a load says while it works, in dockerd's words.
//!
//! Texts must arrive, byte counts may be dropped: a client that does not read must not hold up a transfer that another
//! tenant may be waiting for. So counts are sent only where there is room, and a text that finds no room in
//! [`PATIENCE`] ends the operation, as if the client had gone.

use std::time::Duration;

use domain::{Digest, Error, Result};
use tokio::sync::mpsc;

/// One line of the response's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Status {
        id: Option<String>,
        text: String,
    },
    Bytes {
        id: String,
        /// `Downloading`, `Loading layer`.
        action: String,
        current: u64,
        /// 0 where it is unknown.
        total: u64,
    },
    /// A tag is pushed: for programs.
    Pushed {
        tag: String,
        digest: Digest,
        /// Of the manifest.
        size: u64,
    },
}

/// How long a text waits for a client that does not read.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sending side, with dockerd's short ids.
#[derive(Clone)]
pub(crate) struct Reporter(mpsc::Sender<Progress>);

impl Reporter {
    pub(crate) fn new(sender: mpsc::Sender<Progress>) -> Self {
        Self(sender)
    }

    /// A line about the whole operation.
    pub(crate) async fn say(&self, text: impl Into<String>) -> Result<()> {
        self.send(None, text.into()).await
    }

    /// A line about one layer, or one tag.
    pub(crate) async fn status(&self, id: &str, text: impl Into<String>) -> Result<()> {
        self.send(Some(id.to_owned()), text.into()).await
    }

    /// Dropped where the client is behind.
    pub(crate) fn bytes(&self, id: &str, action: &str, current: u64, total: u64) {
        let line = Progress::Bytes { id: id.to_owned(), action: action.to_owned(), current, total };
        let _ = self.0.try_send(line);
    }

    pub(crate) async fn pushed(&self, tag: &str, digest: &Digest, size: u64) -> Result<()> {
        self.line(Progress::Pushed { tag: tag.to_owned(), digest: digest.clone(), size }).await
    }

    async fn send(&self, id: Option<String>, text: String) -> Result<()> {
        self.line(Progress::Status { id, text }).await
    }

    async fn line(&self, line: Progress) -> Result<()> {
        let gone = |_| Error::unavailable("the client does not read the progress");
        self.0.send_timeout(line, PATIENCE).await.map_err(gone)
    }
}
