//! One client's stream: what is stored, then what comes, until its end.
//!
//! A task writes into a short queue that hyper empties; it waits at most [`STALL`] for a client that does not read, so that
//! such a client holds one batch in memory, and not for ever.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use domain::{Result, TenantId};
use inventory::{Recorded, Span, TenantView};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::{Filter, Tail, message::Framing, tail::Batches};

/// Rows that one look into the log gives.
const PAGE: i64 = 500;
const STALL: Duration = Duration::from_secs(60);
/// For events that were committed before the request, but not before every transaction that began earlier.
const CATCH_UP: Duration = Duration::from_secs(3);
/// After `until`, for what happened just before it and is being stored.
const GRACE: Duration = Duration::from_millis(250);

/// What the client asked for.
#[derive(Debug)]
pub(crate) struct Wish {
    /// None: only what comes.
    pub(crate) since: Option<DateTime<Utc>>,
    /// None: for ever.
    pub(crate) until: Option<DateTime<Utc>>,
    pub(crate) filter: Filter,
    pub(crate) framing: Framing,
}

/// Where the stream is.
pub(crate) struct Stream {
    tail: Arc<Tail>,
    rows: TenantView,
    wish: Wish,
    /// Everything below this horizon has been looked at.
    seen: u64,
    batches: Option<Batches>,
}

impl Stream {
    /// None: the tenant has too many of them.
    pub(crate) async fn begin(tail: Arc<Tail>, rows: TenantView, wish: Wish) -> Result<Option<Self>> {
        let past = wish.until.is_some_and(|until| until <= Utc::now());
        if past {
            let seen = tail.caught_up(CATCH_UP).await?;
            return Ok(Some(Self { tail, rows, wish, seen, batches: None }));
        }
        let Some((seen, batches)) = tail.subscribe(rows.id()).await else { return Ok(None) };
        Ok(Some(Self { tail, rows, wish, seen, batches: Some(batches) }))
    }

    /// The body; ends with `stop`.
    pub(crate) fn body(self, stop: CancellationToken) -> Body {
        let (sender, receiver) = mpsc::channel(1);
        let tenant = self.rows.id();
        let work = async move {
            let sink = Sink { sender, tenant };
            tokio::select! {
                outcome = self.run(&sink) => if let Err(error) = outcome {
                    tracing::warn!(cause = error.operator_text(), "a stream of events breaks off");
                    let _ = sink.sender.send(Err(error)).await;
                },
                () = sink.sender.closed() => (),
                () = stop.cancelled() => (),
            }
        };
        tokio::spawn(work);
        Body::from_stream(ReceiverStream::new(receiver))
    }

    async fn run(mut self, sink: &Sink) -> Result<()> {
        if let Some(since) = self.wish.since.or(self.wish.until.map(|_| DateTime::UNIX_EPOCH)) {
            let span = Span { xids: (0, self.seen), at_ns: (nanoseconds(since), self.end_ns()) };
            if !self.replay(since, span, sink).await? {
                return Ok(());
            }
        }
        let Some(mut batches) = self.batches.take() else { return Ok(()) };
        let end =
            self.wish.until.map(|until| Instant::now() + (until - Utc::now()).to_std().unwrap_or_default() + GRACE);
        loop {
            let received = tokio::select! {
                received = batches.recv() => received,
                () = until(end) => return Ok(()),
            };
            let going = match received {
                Ok(batch) => {
                    // What is below was read from the log.
                    let news = batch.events.iter().filter(|e| e.xid >= self.seen);
                    let body = self.render(news);
                    self.seen = self.seen.max(batch.upto);
                    sink.give(body).await
                }
                Err(RecvError::Lagged(_)) => self.catch_up(&mut batches, sink).await?,
                Err(RecvError::Closed) => return Ok(()),
            };
            if !going {
                return Ok(());
            }
        }
    }

    /// The tail went on without us: what it handed out meanwhile is in the log.
    async fn catch_up(&mut self, batches: &mut Batches, sink: &Sink) -> Result<bool> {
        let Some((position, fresh)) = self.tail.subscribe(self.rows.id()).await else { return Ok(false) };
        *batches = fresh;
        let from = self.wish.since.unwrap_or_else(|| Utc::now() - chrono::TimeDelta::minutes(10));
        let span = Span { xids: (self.seen, position), at_ns: (i64::MIN, self.end_ns()) };
        self.seen = position;
        self.replay(from, span, sink).await
    }

    /// False: the client is gone.
    async fn replay(&self, since: DateTime<Utc>, span: Span, sink: &Sink) -> Result<bool> {
        let Some(mut from) = self.rows.events_beginning(since).await? else { return Ok(true) };
        loop {
            let page = self.rows.events(from, &span, PAGE).await?;
            let Some(last) = page.last().map(|e| e.id) else { return Ok(true) };
            let full = i64::try_from(page.len()).is_ok_and(|n| n >= PAGE);
            if !sink.give(self.render(page.iter())).await {
                return Ok(false);
            }
            if !full {
                return Ok(true);
            }
            from = last + 1;
        }
    }

    fn render<'a>(&self, events: impl Iterator<Item = &'a Recorded>) -> Bytes {
        let mut body = BytesMut::new();
        let (tenant, end_ns) = (self.rows.id(), self.end_ns());
        for Recorded { event, .. } in events.filter(|e| e.tenant == tenant) {
            if nanoseconds(event.at) <= end_ns && self.wish.filter.wants(event) {
                self.wish.framing.put(&mut body, event);
            }
        }
        body.freeze()
    }

    fn end_ns(&self) -> i64 {
        self.wish.until.map_or(i64::MAX, nanoseconds)
    }
}

struct Sink {
    sender: mpsc::Sender<Result<Bytes>>,
    tenant: TenantId,
}

impl Sink {
    /// False: the client is gone, or might as well be.
    async fn give(&self, body: Bytes) -> bool {
        if body.is_empty() {
            return true;
        }
        match timeout(STALL, self.sender.send(Ok(body))).await {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                tracing::info!(tenant.id = %self.tenant, "a client does not read its events: cut off");
                false
            }
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn nanoseconds(at: DateTime<Utc>) -> i64 {
    // Outside the years 1677 to 2262 there is nothing to find.
    at.timestamp_nanos_opt().unwrap_or(if at < DateTime::UNIX_EPOCH { i64::MIN } else { i64::MAX })
}
