//! `attach`: output from now on (or from the beginning), until the run ends.
//!
//! `docker run` attaches before it starts the container. So the place is fixed first, `attached` is said, and only then
//! do we wait for the start, whose output is read from that place on, however early it came.
//!
//! A client whose stream breaks off (this process was killed) comes back with the last place that it was told of, and with
//! what it has got since: nothing is lost and nothing comes twice, if the log still has it.

use rpc::v1;
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};
use tracing::warn;

use super::{
    backward::disk_end,
    follow::{CHUNKS_AHEAD, Follow, Gone, Marks, Output, Passed, Sender, attached, send},
    link::Link,
    paths::Paths,
    record::Position,
    shape::{Form, Shape},
    start::{Select, Start},
};
use domain::Error;

/// What the client asked for.
#[derive(Debug, Clone, Copy)]
pub struct Attach {
    pub stdout: bool,
    pub stderr: bool,
    /// What was written before comes first.
    pub logs: bool,
    /// Go on until the run ends; else only `logs`.
    pub stream: bool,
    pub tty: bool,
    pub resume: Option<Resume>,
}

/// A client that comes back, after a stream that broke off.
#[derive(Debug, Clone, Copy)]
pub struct Resume {
    from: Position,
    passed: Passed,
}

impl From<&v1::Resume> for Resume {
    fn from(resume: &v1::Resume) -> Self {
        let place = resume.place.unwrap_or_default();
        Self {
            from: Position { segment: place.segment, offset: place.offset },
            passed: Passed { stdout_bytes: resume.stdout_bytes, stderr_bytes: resume.stderr_bytes },
        }
    }
}

/// `starts` changes each time that the container's task was created, before it is started; it is closed when the
/// container is removed. Ends at the end of the run that goes on, or of the next one.
pub fn attach(paths: &Paths, request: Attach, starts: watch::Receiver<u64>) -> Output {
    let (out, output) = mpsc::channel(CHUNKS_AHEAD);
    let paths = paths.clone();
    tokio::spawn(async move {
        // Gone: nobody is left to be told.
        let _ = Attached { paths, request }.run(starts, &out).await;
    });
    Output::new(output)
}

struct Attached {
    paths: Paths,
    request: Attach,
}

impl Attached {
    async fn run(self, mut starts: watch::Receiver<u64>, out: &Sender) -> Result<(), Gone> {
        // Before the look at the logger, so that no start falls between the two.
        starts.borrow_and_update();
        let (mut link, end) = match Link::connect(&self.paths.log_socket, true).await {
            Some((link, end)) => (Some(link), end),
            None => match self.disk_end().await {
                Ok(end) => (None, end),
                Err(e) => return send(out, Err(e)).await,
            },
        };
        let running = link.is_some();
        let Resume { from, passed } = self.request.resume.unwrap_or(Resume { from: end, passed: Passed::default() });
        let live_at_once = self.request.stream && (!self.request.logs || self.request.resume.is_some());
        send(out, Ok(attached(self.request.tty, live_at_once.then_some(from)))).await?;
        if !running && self.request.resume.is_some() {
            let mut missed = self.live(from, end, passed);
            missed.run(out).await?;
            if missed.ended {
                return Ok(());
            }
        } else if self.request.logs && self.request.resume.is_none() {
            let mut backlog = self.follow(Position::default(), end);
            backlog.link = link;
            backlog.run(out).await?;
            link = backlog.link;
        }
        if !self.request.stream {
            return Ok(());
        }
        if !running {
            link = match self.next_start(&mut starts, out).await? {
                Some(link) => link,
                None => return Ok(()),
            };
        }
        // What the disk had when nothing ran has been shown above.
        let (from, passed) = if running { (from, passed) } else { (end, Passed::default()) };
        let mut live = self.live(from, end, passed);
        live.end = link.is_some().then_some(end);
        live.link = link;
        if !live_at_once {
            send(out, Ok(attached(self.request.tty, Some(from)))).await?;
        }
        live.run(out).await
    }

    fn live(&self, from: Position, end: Position, passed: Passed) -> Follow {
        let mut follow = self.follow(from, end);
        follow.live_from = Some(from);
        follow.passed = passed;
        follow.marks = Some(Marks { tty: self.request.tty, last: from });
        follow
    }

    async fn disk_end(&self) -> domain::Result<Position> {
        let dir = self.paths.log_dir.clone();
        let found = spawn_blocking(move || disk_end(&dir)).await.map_err(|e| Error::because("reading a log", e))?;
        found.map_err(|e| Error::because("reading a log", e))
    }

    fn follow(&self, from: Position, end: Position) -> Follow {
        let select = Select { stdout: self.request.stdout, stderr: self.request.stderr };
        let mut follow = Follow::new(&self.paths.log_dir, select, Start::at(from), Some(end), Shape::new(Form::Raw));
        follow.lossless = true;
        follow
    }

    /// None: the container is gone. Some(None): the run is over already.
    async fn next_start(&self, starts: &mut watch::Receiver<u64>, out: &Sender) -> Result<Option<Option<Link>>, Gone> {
        let started = tokio::select! {
            started = starts.changed() => started,
            () = out.closed() => return Err(Gone),
        };
        if started.is_err() {
            return Ok(None);
        }
        let link = Link::connect(&self.paths.log_socket, true).await;
        if link.is_none() {
            warn!(socket = %self.paths.log_socket.display(), "a run was over before its output was followed");
        }
        Ok(Some(link.map(|(link, _)| link)))
    }
}

impl From<&v1::AttachStart> for Attach {
    /// Without `tty`, which the caller knows.
    fn from(start: &v1::AttachStart) -> Self {
        let (stdout, stderr, logs, stream) = (start.stdout, start.stderr, start.logs, start.stream);
        Self { stdout, stderr, logs, stream, tty: false, resume: start.resume.as_ref().map(Resume::from) }
    }
}
