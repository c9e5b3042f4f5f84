//! `POST /containers/{id}/attach`: the connection becomes the container's stdio.

use axum::extract::{Request, State};
use docker_api::detach_keys;
use domain::{Error, Result, Status};
use inventory::Container;
use rpc::v1;
use tokio::sync::mpsc;

use super::{follow, verb::Target};
use crate::{
    error::{Answer, ApiError},
    extract::{Caller, Reference},
    hijack::{Farewell, INPUT_PIECES, Session, Takeover, Terms},
    query::Params,
    state::App,
};

const KNOWN: [&str; 6] = ["detachKeys", "logs", "stream", "stdin", "stdout", "stderr"];

pub(crate) async fn attach(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
    mut request: Request,
) -> Answer {
    let wish = Wish::of(&params)?;
    let target = Target::find(&app, &caller, &id).await?;
    let attachment = Attachment::of(wish, target, &caller)?;
    let headers = request.headers().clone();
    let takeover = Takeover::of(&headers, request.extensions_mut())?;
    Ok(takeover.respond(attachment.open().await?))
}

/// What the query asks for.
pub(super) struct Wish {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    logs: bool,
    stream: bool,
    detach_keys: Vec<u8>,
}

impl Wish {
    pub(super) fn of(params: &Params) -> Result<Self> {
        params.only(&KNOWN)?;
        let detach_keys = detach_keys::parse(params.get("detachKeys").unwrap_or_default());
        Ok(Self {
            stdin: params.flag("stdin"),
            stdout: params.flag("stdout"),
            stderr: params.flag("stderr"),
            logs: params.flag("logs"),
            stream: params.flag("stream"),
            detach_keys: detach_keys.map_err(|e| Error::invalid(e.to_string()))?,
        })
    }
}

/// A wish that may be granted.
pub(super) struct Attachment {
    target: Target,
    start: v1::AttachStart,
    terms: Terms,
}

impl Attachment {
    pub(super) fn of(wish: Wish, target: Target, caller: &Caller) -> Result<Self> {
        let spec = &target.container.spec;
        let stdin = wish.stdin && spec.stdin_open;
        if stdin && !caller.tenant.role().can_write() {
            return Err(Error::forbidden("the role viewer may not attach to stdin"));
        }
        check_status(&target.container)?;
        let Wish { stdout, stderr, logs, stream, detach_keys, .. } = wish;
        let tty = spec.process.tty;
        let farewell = Some(Farewell { rows: target.rows.clone(), event: target.container.event("detach") });
        let close_stdin = spec.stdin_once && !tty;
        let terms = Terms { stdin, tty, close_stdin, detach_keys, version: caller.version, farewell };
        let container = Some(target.key.clone());
        let start = v1::AttachStart { container, stdin, stdout, stderr, logs, stream, resume: None };
        Ok(Self { target, start, terms })
    }

    /// The event is written meanwhile, and stands before what the attachment leads to.
    pub(super) async fn open(self) -> Result<Session, ApiError> {
        let event = self.target.container.event("attach");
        let Target { agent, rows, .. } = self.target;
        let (input, pieces) = mpsc::channel(INPUT_PIECES);
        let opening = follow::open(agent, self.start, pieces, self.terms.tty);
        let (output, told) = tokio::join!(opening, rows.record_event(event));
        told?;
        Ok(Session { output: output?, input, terms: self.terms, ended: Box::new(|_| Box::pin(std::future::ready(()))) })
    }
}

fn check_status(container: &Container) -> Result<()> {
    let id = &container.id;
    match container.observation.status {
        Status::Paused => {
            Err(Error::conflict(format!("container {id} is paused, unpause the container before attach")))
        }
        Status::Restarting => {
            Err(Error::conflict(format!("container {id} is restarting, wait until the container is running")))
        }
        Status::Created | Status::Running | Status::Exited | Status::Removing | Status::Dead => Ok(()),
    }
}
