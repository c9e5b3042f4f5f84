//! From segments to a client: read, shape, send, wait for more.
//!
//! One task for each stream, at most about 1 MiB ahead of its client. It ends with the client, and cuts a client that
//! takes nothing for a minute, since the logger keeps segments for it.

use std::{path::Path, time::Duration};

use domain::{Error, Result};
use rpc::v1;
use tokio::{sync::mpsc, task::spawn_blocking, time};
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;

use super::{
    link::Link,
    reader::Reader,
    record::{Kind, Position, Record},
    shape::Shape,
    start::{Select, Start},
};

/// What a client gets: `attached`, then chunks.
pub type Output = ReceiverStream<Result<v1::StreamOutput>>;
pub(super) type Sender = mpsc::Sender<Result<v1::StreamOutput>>;

/// Chunks of at most 256 KiB, on their way to the client.
pub(super) const CHUNKS_AHEAD: usize = 2;
/// A client that takes nothing for so long, while there is something, is cut.
pub(super) const STALL: Duration = Duration::from_secs(60);

/// The client is gone, or was cut.
#[derive(Debug)]
pub(super) struct Gone;

/// What to read and how to show it.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) reader: Reader,
    pub(super) link: Option<Link>,
    /// Everything before it is whole; None: look at the disk.
    pub(super) end: Option<Position>,
    pub(super) select: Select,
    pub(super) start: Start,
    pub(super) since_unix_ns: u64,
    pub(super) until_unix_ns: u64,
    /// Go on after `end`, up to the first end of a run that is not before this place.
    pub(super) live_from: Option<Position>,
    /// A part that is missing ends the stream with an error.
    pub(super) lossless: bool,
    /// Lost output is told of in the output itself, on this stream.
    pub(super) notes: Option<v1::Stream>,
    pub(super) shape: Shape,
    /// The client is told which places were reached, so that it can come back to the last one.
    pub(super) marks: Option<Marks>,
    /// What the client has got already: see [`Passed`].
    pub(super) passed: Passed,
    /// The end of the run was met.
    pub(super) ended: bool,
}

/// Where the client could go on from.
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) tty: bool,
    pub(super) last: Position,
}

impl Marks {
    fn is_far(&self, at: Position, beyond_bytes: u64) -> bool {
        at.segment != self.last.segment || at.offset.saturating_sub(self.last.offset) >= beyond_bytes
    }
}

/// How many bytes of each stream are not sent again to a client that comes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) stdout_bytes: u64,
    pub(super) stderr_bytes: u64,
}

impl Passed {
    fn take(&mut self, kind: Kind, bytes: usize) -> usize {
        let left = if kind == Kind::Stderr { &mut self.stderr_bytes } else { &mut self.stdout_bytes };
        let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes);
        *left -= taken as u64;
        taken
    }
}

/// Output between two marks, while there is always more.
const MARK_BYTES: u64 = 4 << 20;

enum Next {
    More,
    Done,
}

impl Follow {
    /// Everything of `select` from `start` on, up to `end`.
    pub(super) fn new(dir: &Path, select: Select, start: Start, end: Option<Position>, shape: Shape) -> Self {
        Self {
            reader: Reader::new(dir, start.first()),
            link: None,
            end,
            select,
            start,
            since_unix_ns: 0,
            until_unix_ns: u64::MAX,
            live_from: None,
            lossless: false,
            notes: None,
            shape,
            marks: None,
            passed: Passed::default(),
            ended: false,
        }
    }

    /// Until the end or the client's end. What goes wrong is told to the client.
    pub(super) async fn run(&mut self, out: &Sender) -> Result<(), Gone> {
        loop {
            let records = match self.read().await {
                Ok(records) => records,
                Err(e) => return send(out, Err(e)).await,
            };
            let exhausted = records.is_empty();
            let step = self.show(records, out).await?;
            self.mark(MARK_BYTES, out).await?;
            if matches!(step, Next::Done) || !self.wait(exhausted, out).await? {
                self.shape.flush();
                return self.send_ready(out).await;
            }
        }
    }

    async fn read(&mut self) -> Result<Vec<Record>> {
        let mut reader = std::mem::replace(&mut self.reader, Reader::new(Path::new(""), Position::LAST));
        let end = self.end;
        let job = spawn_blocking(move || {
            let records = reader.read(end);
            (reader, records)
        });
        let (reader, records) = job.await.map_err(|e| Error::because("reading a log", e))?;
        self.reader = reader;
        if self.reader.take_gap() {
            warn!(at = ?self.reader.position(), "a part of a log was passed over");
            if self.lossless {
                return Err(Error::unavailable("the stream was cut: a part of the output is gone"));
            }
        }
        records.map_err(|e| Error::because("reading a log", e))
    }

    async fn show(&mut self, records: Vec<Record>, out: &Sender) -> Result<Next, Gone> {
        for record in records {
            if record.unix_ns > self.until_unix_ns {
                return Ok(Next::Done);
            }
            match record.kind {
                Kind::End => {
                    self.shape.end_run();
                    if self.live_from.is_some_and(|live| record.at >= live) {
                        self.ended = true;
                        return Ok(Next::Done);
                    }
                }
                Kind::Lost => self.note(&record, out).await?,
                Kind::Stdout if self.select.stdout => self.show_output(&record, out).await?,
                Kind::Stderr if self.select.stderr => self.show_output(&record, out).await?,
                Kind::Stdout | Kind::Stderr => {}
            }
        }
        self.send_ready(out).await?;
        Ok(Next::More)
    }

    async fn show_output(&mut self, record: &Record, out: &Sender) -> Result<(), Gone> {
        let Some(skip) = self.start.skip(record).filter(|_| record.unix_ns >= self.since_unix_ns) else {
            return Ok(());
        };
        let mut rest = record.payload.slice(skip.min(record.payload.len())..);
        let _ = rest.split_to(self.passed.take(record.kind, rest.len()));
        while !rest.is_empty() {
            let portion = rest.split_to(rest.len().min(self.shape.portion_bytes()));
            self.shape.push(record, portion);
            self.send_ready(out).await?;
        }
        Ok(())
    }

    async fn note(&mut self, record: &Record, out: &Sender) -> Result<(), Gone> {
        let Some(stream) = self.notes.filter(|_| record.unix_ns >= self.since_unix_ns) else { return Ok(()) };
        let bytes = record.payload.first_chunk().map_or(0, |&b| u64::from_le_bytes(b));
        let text = format!("[{bytes} bytes of output were lost: the disk of the log was full]\n");
        self.shape.flush();
        self.send_ready(out).await?;
        send(out, Ok(chunk(v1::Chunk { stream: stream.into(), data: text.into() }))).await
    }

    /// True when there may be more. Also tells the logger what we have read, so that it keeps the rest.
    async fn wait(&mut self, exhausted: bool, out: &Sender) -> Result<bool, Gone> {
        let at = self.reader.position();
        let at_end = self.end.map_or(exhausted, |end| at >= end);
        let follows = self.live_from.is_some();
        if at_end {
            self.shape.flush();
            self.send_ready(out).await?;
            self.mark(1, out).await?;
        }
        let Some(link) = &mut self.link else { return Ok(!at_end && !exhausted) };
        // Exhausted before the end: the segments were removed under our hands.
        if (exhausted && !at_end) || (at_end && !follows) {
            return Ok(false);
        }
        let until_unix_ns = if at_end { self.until_unix_ns } else { u64::MAX };
        let more = tokio::select! {
            more = link.more(at) => more,
            () = out.closed() => return Err(Gone),
            () = passed(until_unix_ns) => return Ok(false),
        };
        if more.is_none() {
            self.link = None;
        }
        if follows {
            self.end = more;
        }
        Ok(true)
    }

    /// Tells the client where it is, once it has come this far since it was told last.
    async fn mark(&mut self, beyond_bytes: u64, out: &Sender) -> Result<(), Gone> {
        let (at, ended) = (self.reader.position(), self.ended);
        let Some(marks) = self.marks.as_mut().filter(|marks| !ended && marks.is_far(at, beyond_bytes)) else {
            return Ok(());
        };
        marks.last = at;
        let tty = marks.tty;
        self.shape.flush();
        self.send_ready(out).await?;
        send(out, Ok(attached(tty, Some(at)))).await
    }

    async fn send_ready(&mut self, out: &Sender) -> Result<(), Gone> {
        for ready in self.shape.take() {
            send(out, Ok(chunk(ready))).await?;
        }
        Ok(())
    }
}

fn chunk(chunk: v1::Chunk) -> v1::StreamOutput {
    v1::StreamOutput { output: Some(v1::stream_output::Output::Chunk(chunk)) }
}

/// The first message of each stream, and each mark.
pub(super) fn attached(tty: bool, at: Option<Position>) -> v1::StreamOutput {
    let place = at.map(|at| v1::Place { segment: at.segment, offset: at.offset });
    v1::StreamOutput { output: Some(v1::stream_output::Output::Attached(v1::Attached { tty, pid: 0, place })) }
}

pub(super) async fn send(out: &Sender, item: Result<v1::StreamOutput>) -> Result<(), Gone> {
    match time::timeout(STALL, out.send(item)).await {
        Ok(sent) => sent.map_err(|_| Gone),
        Err(_) => {
            warn!("a client that took nothing for {STALL:?} was cut");
            Err(Gone)
        }
    }
}

async fn passed(unix_ns: u64) {
    let now = chrono::Utc::now().timestamp_nanos_opt().and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0);
    if unix_ns == u64::MAX {
        return std::future::pending().await;
    }
    time::sleep(Duration::from_nanos(unix_ns.saturating_sub(now))).await;
}
