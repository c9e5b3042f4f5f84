//! `POST /containers/{id}/wait?condition=`: the headers at once (the CLI starts the container only then), the exit code when
//! the condition holds.
//!
//! The agent's call is under way before the headers go out, and names the generation after which an exit counts, so an exit
//! between the two is not missed. An agent that fails meanwhile is asked again, and the inventory's row is watched: the
//! container runs on without its agent. `removed` is answered once the inventory has forgotten the container.

use std::{task::Poll, time::Duration};

use axum::{body::Body, extract::State};
use bytes::Bytes;
use domain::{Error, Observation, Result};
use http::StatusCode;
use rpc::{request_id::REQUEST_ID, v1};
use serde::Serialize;

use super::verb::{Target, observation, persist};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(1);

pub(crate) async fn wait(State(app): State<App>, caller: Caller, Reference(id): Reference, params: Params) -> Answer {
    params.only(&["condition"])?;
    let condition = condition(params.get("condition").unwrap_or_default())?;
    let target = Target::find(&app, &caller, &id).await?;
    let work = Wait { last: target.container.observation.clone(), app, target, condition }.result();
    let mut work = Box::pin(REQUEST_ID.scope(rpc::request_id::current(), work));
    let body = match futures::poll!(&mut work) {
        Poll::Ready(result) => Body::from(result),
        Poll::Pending => Body::from_stream(futures::stream::once(async move { Ok::<_, Error>(work.await) })),
    };
    Ok(json::with(StatusCode::OK, body))
}

fn condition(given: &str) -> Result<v1::WaitCondition> {
    match given {
        "" | "not-running" => Ok(v1::WaitCondition::NotRunning),
        "next-exit" => Ok(v1::WaitCondition::NextExit),
        "removed" => Ok(v1::WaitCondition::Removed),
        other => Err(Error::invalid(format!("invalid condition: {other:?}"))),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Exit {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ExitError>,
    status_code: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ExitError {
    message: String,
}

struct Wait {
    app: App,
    target: Target,
    condition: v1::WaitCondition,
    /// The newest that is known of the container.
    last: Observation,
}

impl Wait {
    async fn result(mut self) -> Bytes {
        let exit = match self.until_it_holds().await {
            Ok(()) => self.exit(),
            Err(error) => {
                tracing::info!(cause = error.operator_text(), "wait");
                Exit { error: Some(ExitError { message: error.to_string() }), status_code: -1 }
            }
        };
        Bytes::from(json::bytes(&exit))
    }

    /// The container's error is told with its exit; who waits for the removal has had it from `start`, as with dockerd.
    fn exit(self) -> Exit {
        let message = self.last.error;
        let told = !message.is_empty() && self.condition != v1::WaitCondition::Removed;
        Exit { error: told.then_some(ExitError { message }), status_code: i64::from(self.last.exit_code) }
    }

    async fn until_it_holds(&mut self) -> Result<()> {
        let after_generation = self.target.container.observation.generation;
        let mut pause = RETRY_FIRST;
        loop {
            let request = v1::WaitRequest {
                container: Some(self.target.key.clone()),
                condition: self.condition.into(),
                after_generation,
            };
            match self.target.agent.wait(request).await.map_err(rpc::status::from_status) {
                Ok(reply) => return self.holds(reply.into_inner()).await,
                Err(Error::NotFound { .. }) if self.condition == v1::WaitCondition::Removed => {
                    return self.forget().await;
                }
                Err(error @ (Error::NotFound { .. } | Error::Invalid(_) | Error::Unsupported(_))) => return Err(error),
                Err(error) => tracing::debug!(cause = error.operator_text(), "wait goes on without its agent"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MOST);
            if self.row_says_so(after_generation).await {
                return Ok(());
            }
        }
    }

    async fn holds(&mut self, reply: v1::VerbReply) -> Result<()> {
        self.last = observation(&reply)?;
        let stored = self.target.store(reply).await;
        match self.condition {
            // An observation that says so has been stored by forgetting.
            v1::WaitCondition::Removed if !self.last.removed => self.forget().await,
            v1::WaitCondition::Removed => stored.map(|_| ()),
            // The exit code is known, and the agent reports it as well.
            _ => Ok(()),
        }
    }

    async fn forget(&self) -> Result<()> {
        persist(|| self.target.rows.forget(&self.target.container.id)).await.map(|_| ())
    }

    /// What reached the inventory through a report. A row that is gone ends every wait.
    async fn row_says_so(&mut self, after_generation: u64) -> bool {
        match self.target.rows.container(self.target.container.id.as_str()).await {
            Ok(container) => {
                let seen = container.observation.clone();
                // Its host may have another address now.
                if let Ok(agent) = self.app.channels.agent(container.host, &container.host_endpoint) {
                    self.target.agent = agent;
                }
                let stopped = !seen.status.is_running();
                let news = seen.generation > after_generation;
                self.last = seen;
                match self.condition {
                    v1::WaitCondition::NotRunning => stopped,
                    v1::WaitCondition::NextExit => stopped && news,
                    v1::WaitCondition::Removed | v1::WaitCondition::Unspecified => false,
                }
            }
            Err(error) => matches!(error, Error::NotFound { .. }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conditions_are_dockers() {
        assert_eq!(condition("").expect("default"), v1::WaitCondition::NotRunning);
        assert_eq!(condition("removed").expect("removed"), v1::WaitCondition::Removed);
        assert_eq!(condition("never").expect_err("bad").to_string(), "invalid condition: \"never\"");
    }

    #[test]
    fn a_plain_exit_has_no_error() {
        let body = json::bytes(&Exit { error: None, status_code: 137 });
        assert_eq!(body, b"{\"StatusCode\":137}\n");
    }
}
