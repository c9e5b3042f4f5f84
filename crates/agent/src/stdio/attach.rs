//! `attach`: output from now on (or from the beginning), until the run ends.
//!
//! `docker run` attaches before it starts the container. So the place is fixed first, `attached` is said, and only then
//! do we wait for the start, whose output is read from that place on, however early it came.

use rpc::v1;
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};
use tracing::warn;

use super::{
    backward::disk_end,
    follow::{CHUNKS_AHEAD, Follow, Gone, Output, Sender, attached, send},
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
        send(out, Ok(attached(self.request.tty))).await?;
        if self.request.logs {
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
        let mut live = self.follow(end, end);
        live.end = link.is_some().then_some(end);
        live.link = link;
        live.live_from = Some(end);
        live.run(out).await
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
        Self { stdout: start.stdout, stderr: start.stderr, logs: start.logs, stream: start.stream, tty: false }
    }
}
