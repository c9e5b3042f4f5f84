//! `logs` with all its options.
//!
//! As dockerd does it, the lines for `tail` are counted first, and `since` and `until` are applied to what is left. The
//! time of output is that of the logger's read. With `follow` the stream ends when the container does; if it does not
//! run, with what there is.

use domain::{Error, LogDriver, LogSpec, Result};
use rpc::v1;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    follow::{CHUNKS_AHEAD, Follow, Gone, Output, Sender, attached, send},
    lines::{Prefix, details},
    link::Link,
    paths::Paths,
    record::Position,
    shape::{Form, Shape},
    start::{self, Select, Start},
};

/// Errors: `Invalid` without a stream, `Unsupported` for a container whose log is not kept. Later ones come in the stream.
pub fn logs(paths: &Paths, request: &v1::LogsRequest, log: &LogSpec, tty: bool) -> Result<Output> {
    if log.driver == LogDriver::None {
        return Err(Error::unsupported("configured logging driver does not support reading"));
    }
    if !request.stdout && !request.stderr {
        return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
    }
    let (out, output) = mpsc::channel(CHUNKS_AHEAD);
    let logs = Logs {
        paths: paths.clone(),
        select: Select { stdout: request.stdout, stderr: request.stderr },
        tail: request.tail,
        since_unix_ns: request.since.as_ref().map_or(0, unix_ns),
        until_unix_ns: request.until.as_ref().map_or(u64::MAX, unix_ns),
        follow: request.follow,
        tty,
        form: form(request, log),
    };
    tokio::spawn(async move {
        // Gone: nobody is left to be told.
        let _ = logs.run(&out).await;
    });
    Ok(Output::new(output))
}

struct Logs {
    paths: Paths,
    select: Select,
    tail: Option<u64>,
    since_unix_ns: u64,
    until_unix_ns: u64,
    follow: bool,
    tty: bool,
    form: Form,
}

impl Logs {
    async fn run(self, out: &Sender) -> Result<(), Gone> {
        // The logger first: from now on it keeps for us what we have not read.
        let (link, end) = Link::connect(&self.paths.log_socket, false).await.unzip();
        let start = match self.start(end).await {
            Ok(start) => start,
            Err(e) => return send(out, Err(e)).await,
        };
        send(out, Ok(attached(self.tty, None))).await?;
        let mut follow = Follow::new(&self.paths.log_dir, self.select, start, end, Shape::new(self.form));
        follow.since_unix_ns = self.since_unix_ns;
        follow.until_unix_ns = self.until_unix_ns;
        follow.live_from = end.filter(|_| self.follow && link.is_some());
        follow.notes = Some(match self.select.stderr && !self.tty {
            true => v1::Stream::Stderr,
            false => v1::Stream::Stdout,
        });
        follow.link = link;
        follow.run(out).await
    }

    async fn start(&self, end: Option<Position>) -> Result<Start> {
        let (dir, select, tail, since) = (self.paths.log_dir.clone(), self.select, self.tail, self.since_unix_ns);
        let job = spawn_blocking(move || start::find(&dir, end, select, tail, since));
        let found = job.await.map_err(|e| Error::because("reading a log", e))?;
        found.map_err(|e| Error::because("reading a log", e))
    }
}

fn form(request: &v1::LogsRequest, log: &LogSpec) -> Form {
    let details = request.details.then(|| details(&log.attributes));
    match request.timestamps || details.is_some() {
        true => Form::Prefixed(Prefix { timestamps: request.timestamps, details }),
        false => Form::Lines,
    }
}

/// Clamped to what a record can hold.
fn unix_ns(time: &prost_types::Timestamp) -> u64 {
    let ns = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
}
