//! Answers that come line by line while the work goes on.
//!
//! The first line decides the status: work that fails before it has said anything fails as any request does; afterwards
//! the error is the last line. The work is a task of its own, so that a client that reads slowly does not hold up what
//! other tenants may wait for; a client that goes away ends it.

use std::collections::VecDeque;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use docker_api::progress::Line;
use domain::{Error, Result};
use http::StatusCode;
use images::Progress;
use rpc::request_id::REQUEST_ID;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::{
    error::{Answer, ApiError},
    json,
};

/// Lines that the work may be ahead of the client.
const AHEAD: usize = 64;

/// A task under way: its lines, and at its end its last ones.
struct Running {
    lines: mpsc::Receiver<Progress>,
    task: AbortOnDropHandle<Result<Vec<Line>>>,
}

enum State {
    Running(Running),
    Ending(VecDeque<Line>),
}

/// Starts `work`, which gets the sender of its lines and returns its last ones. Answers with its first line.
pub(super) async fn streamed<F, W>(work: W) -> Answer
where
    W: FnOnce(mpsc::Sender<Progress>) -> F,
    F: Future<Output = Result<Vec<Line>>> + Send + 'static,
{
    let (sender, lines) = mpsc::channel(AHEAD);
    let scoped = REQUEST_ID.scope(rpc::request_id::current(), work(sender).in_current_span());
    let mut running = Running { lines, task: AbortOnDropHandle::new(tokio::spawn(scoped)) };
    let start = match running.lines.recv().await {
        Some(first) => (VecDeque::from([line(first)]), Some(running)),
        None => (VecDeque::from(running.end().await?), None),
    };
    Ok(response(start.0, start.1))
}

fn response(first: VecDeque<Line>, running: Option<Running>) -> Response {
    let rest = running.map(State::Running);
    let start = (first, rest);
    let body = futures::stream::unfold(start, |(mut ready, state)| async move {
        if let Some(line) = ready.pop_front() {
            return Some((Ok::<_, ApiError>(Bytes::from(line.to_bytes())), (ready, state)));
        }
        let (line, state) = next(state?).await?;
        Some((Ok(Bytes::from(line.to_bytes())), (ready, state)))
    });
    json::with(StatusCode::OK, Body::from_stream(futures::StreamExt::map(body, |r| r.map_err(|e| e.message()))))
}

async fn next(state: State) -> Option<(Line, Option<State>)> {
    let mut ending = match state {
        State::Running(mut running) => match running.lines.recv().await {
            Some(progress) => return Some((line(progress), Some(State::Running(running)))),
            None => running.end().await.map_or_else(|e| VecDeque::from([failed(e)]), VecDeque::from),
        },
        State::Ending(lines) => lines,
    };
    let line = ending.pop_front()?;
    Some((line, Some(State::Ending(ending))))
}

impl Running {
    async fn end(self) -> Result<Vec<Line>> {
        self.task.await.map_err(|e| Error::because("an image task", e))?
    }
}

pub(crate) fn line(progress: Progress) -> Line {
    match progress {
        Progress::Status { id, text } => Line::status(id.as_deref(), text),
        Progress::Bytes { id, action, current, total } => Line::bytes(id, action, current, total),
        Progress::Pushed { tag, digest, size } => Line::pushed(json!({ "Tag": tag, "Digest": digest, "Size": size })),
    }
}

/// The status has gone out, so the log gets the cause from here.
fn failed(error: Error) -> Line {
    if matches!(error, Error::Internal { .. } | Error::Unavailable { .. }) {
        tracing::warn!(cause = error.operator_text(), "an image operation failed");
    }
    Line::error(ApiError::from(error).message())
}
