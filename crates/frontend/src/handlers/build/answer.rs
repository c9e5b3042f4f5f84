//! The build's output: a task that sends lines, and a body that hands them on.
//!
//! As with pulls, the first line decides the status: what is wrong before it is an error like any other's. A client that
//! goes away ends the task.

use axum::body::Body;
use bytes::Bytes;
use docker_api::progress::Line;
use domain::Error;
use http::StatusCode;
use rpc::request_id::REQUEST_ID;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::output::Output;
use crate::{
    error::{Answer, ApiError},
    json,
};

/// Lines that the work may be ahead of the client.
const AHEAD: usize = 256;

type Outcome = Result<(), ::build::Failure>;

struct Running {
    lines: mpsc::Receiver<Bytes>,
    task: AbortOnDropHandle<Outcome>,
}

pub(super) async fn streamed<F, W>(quiet: bool, work: W) -> Answer
where
    W: FnOnce(Output) -> F,
    F: Future<Output = Outcome> + Send + 'static,
{
    let (sender, lines) = mpsc::channel(AHEAD);
    let output = Output::new(sender, quiet);
    let scoped = REQUEST_ID.scope(rpc::request_id::current(), work(output).in_current_span());
    let mut running = Running { lines, task: AbortOnDropHandle::new(tokio::spawn(scoped)) };
    let Some(first) = running.lines.recv().await else {
        return match running.end().await {
            Ok(()) => Ok(json::with(StatusCode::OK, Body::empty())),
            Err(::build::Failure::Error(error)) => Err(error.into()),
            Err(::build::Failure::Exit { message, .. }) => Err(Error::invalid(message).into()),
        };
    };
    let body = futures::stream::unfold((Some(first), Some(running)), |(ready, running)| async move {
        if let Some(line) = ready {
            return Some((Ok::<_, std::convert::Infallible>(line), (None, running)));
        }
        let mut running = running?;
        match running.lines.recv().await {
            Some(line) => Some((Ok(line), (None, Some(running)))),
            None => running.end().await.err().map(|failure| (Ok(last(failure)), (None, None))),
        }
    });
    Ok(json::with(StatusCode::OK, Body::from_stream(body)))
}

impl Running {
    async fn end(self) -> Outcome {
        match self.task.await {
            Ok(outcome) => outcome,
            Err(cause) => Err(Error::because("a build's task", cause).into()),
        }
    }
}

/// The status has gone out, so the log gets the cause from here.
fn last(failure: ::build::Failure) -> Bytes {
    let line = match failure {
        ::build::Failure::Exit { code, message } => Line::step_error(code, message),
        ::build::Failure::Error(error) => {
            if matches!(error, Error::Internal { .. } | Error::Unavailable { .. }) {
                tracing::warn!(cause = error.operator_text(), "a build failed");
            }
            Line::error(ApiError::from(error).message())
        }
    };
    line.to_bytes().into()
}
