//! The agent's gRPC service: each method converts, calls the engine and converts back.
//!
//! A verb runs to its end even when its caller hangs up: half a start is nobody's wish, and the caller will ask again.

mod exec;
mod files;
mod layers;
mod measure;
mod networks;
mod verbs;

use std::{pin::Pin, sync::Arc};

use domain::{Error, Result};
use futures::{Stream, StreamExt, future};
use rpc::{Peer, v1};
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

pub(crate) use layers::LayerService;

use crate::lifecycle::{Done, Engine, Input, Inputs, Outputs};

/// Serves frontends.
#[derive(Clone)]
pub(crate) struct Service {
    engine: Arc<Engine>,
}

type Replies = Pin<Box<dyn Stream<Item = Result<v1::StreamOutput, Status>> + Send>>;

impl Service {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Checks the caller, then runs `verb` on a task of its own.
    async fn verb<M, T, F>(
        &self,
        request: Request<M>,
        verb: impl FnOnce(Arc<Engine>, M) -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let request_id = admit(&request)?;
        let work = verb(self.engine.clone(), request.into_inner());
        let span = tracing::info_span!("verb", request_id);
        let done = tokio::spawn(work.instrument(span)).await;
        let done = done.unwrap_or_else(|e| Err(Error::because("a verb panicked", e)));
        done.map(Response::new).map_err(refuse)
    }
}

/// The request id of a frontend's call; nobody else may call.
fn admit<M>(request: &Request<M>) -> Result<String, Status> {
    match Peer::of(request).map_err(rpc::status::to_status)? {
        Peer::Frontend => {
            let request_id = rpc::request_id::of(request);
            tracing::debug!(request_id, "called");
            Ok(request_id)
        }
        other => Err(rpc::status::to_status(Error::forbidden(format!("{other:?} may not call an agent")))),
    }
}

fn refuse(error: Error) -> Status {
    if let Error::Internal { .. } = &error {
        tracing::error!(error = error.operator_text(), "a call failed");
    }
    rpc::status::to_status(error)
}

fn reply(done: Done) -> v1::VerbReply {
    let outcome = if done.already { v1::Outcome::Already } else { v1::Outcome::Done };
    v1::VerbReply { outcome: outcome.into(), observation: Some((&done.observation).into()) }
}

fn replies(outputs: Outputs) -> Replies {
    Box::pin(outputs.map(|item| item.map_err(refuse)))
}

/// The first message of a stream, and the rest of it as a client's input.
async fn first<M, S>(
    request: Request<Streaming<M>>,
    start: impl Fn(M) -> Option<S>,
    input: impl Fn(M) -> Option<Input> + Send + 'static,
) -> Result<(S, Inputs), Status>
where
    M: Send + 'static,
{
    admit(&request)?;
    let mut stream = request.into_inner();
    let missing = || rpc::status::to_status(Error::invalid("the first message must be `start`"));
    let start = stream.message().await?.and_then(start).ok_or_else(missing)?;
    let inputs = stream.map(move |message| message.ok().and_then(&input)).take_while(|i| future::ready(i.is_some()));
    let inputs = inputs.filter_map(future::ready);
    Ok((start, Box::pin(inputs)))
}
