//! `POST /exec/{id}/start`: the connection becomes the process's stdio, or (`Detach`) 200 once it runs.
//!
//! What keeps the process from being tried at all (a container that does not run, a host that cannot be reached) is an HTTP
//! error. A command that cannot be executed is told as dockerd does: 101, the text, and exit code 126. The exit code is
//! stored before the stream ends, since clients inspect right after.

use std::time::Duration;

use axum::extract::{FromRequest, Request, State};
use docker_api::{detach_keys, types::ExecStartConfig};
use domain::{Error, Event, ExecId, ExecObservation, ExecRecord, Result};
use futures::StreamExt as _;
use http::StatusCode;
use inventory::{Container, TenantView};
use rpc::v1::{self, exec_input};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{check_status, parse_id, parse_without};
use crate::{
    error::Answer,
    extract::{Caller, OptionalJson, Reference},
    handlers::containers::verb::persist,
    hijack::{Ended, Farewell, INPUT_PIECES, Input, Session, Takeover, Terms, attached},
    json,
    state::App,
};

/// What Docker's `exec` ends with when the command could not be executed.
const CANNOT_EXECUTE: i32 = 126;
/// For the process to be there; a host that hangs is no reason to hold the client for ever.
const START: Duration = Duration::from_secs(60);

pub(crate) async fn start(
    State(app): State<App>,
    caller: Caller,
    Reference(reference): Reference,
    mut request: Request,
) -> Answer {
    let headers = request.headers().clone();
    let takeover = Takeover::of(&headers, request.extensions_mut())?;
    let OptionalJson(body) = OptionalJson::<Value>::from_request(request, &app).await?;
    let body = body.map(parse).transpose()?.unwrap_or_default();
    let id = parse_id(&reference)?;
    let rows = app.rows(&caller.tenant);
    let record = rows.claim_exec(&id).await?;
    let detach = body.detach.unwrap_or(false);
    let terms = terms(&record, &caller)?;
    match run(&app, &caller, &rows, &record, &body).await {
        Ok(started) if detach => {
            let running = started.observation(true, 0);
            persist(|| rows.observe_exec(&running)).await?;
            Ok(json::empty(StatusCode::OK))
        }
        Ok(started) => Ok(takeover.respond(started.session(rows, terms))),
        Err(error) => failed(&rows, &record, error, detach, takeover, &terms).await,
    }
}

/// bollard sends the size of its own buffer.
fn parse(body: Value) -> Result<ExecStartConfig> {
    parse_without(body, |name, value| name == "OutputCapacity" && (value.is_u64() || value.is_null()))
}

/// A process that runs, with its stream.
struct Started {
    record: ExecRecord,
    tenant: domain::TenantId,
    pid: u32,
    input: mpsc::Sender<Input>,
    output: Streaming<v1::StreamOutput>,
    detach: Event,
}

async fn run(
    app: &App,
    caller: &Caller,
    rows: &TenantView,
    record: &ExecRecord,
    body: &ExecStartConfig,
) -> Result<Started> {
    let container = rows.container(record.container.as_str()).await?;
    check_status(&container, container.id.as_str())?;
    let mut agent = app.agent(&container)?;
    let tenant = caller.tenant.id();
    let first = v1::ExecInput { input: Some(exec_input::Input::Start(wish(tenant, &container, record, body))) };
    let detach = container.event("exec_detach").with("execID", &record.id);
    let (input, pieces) = mpsc::channel(INPUT_PIECES);
    let rest = ReceiverStream::new(pieces).map(|piece| v1::ExecInput { input: Some(wire(piece)) });
    let opening = async {
        let mut output = agent
            .exec(futures::stream::iter([first]).chain(rest))
            .await
            .map_err(rpc::status::from_status)?
            .into_inner();
        let pid = attached(&mut output).await?.pid;
        Ok(Started { record: record.clone(), tenant, pid, input, output, detach })
    };
    tokio::time::timeout(START, opening).await.map_err(|_| Error::unavailable("the host does not answer"))?
}

fn wish(tenant: domain::TenantId, container: &Container, record: &ExecRecord, body: &ExecStartConfig) -> v1::ExecStart {
    let size = |at: usize| {
        let given = body.console_size.as_ref().and_then(|size| size.get(at).copied());
        given.and_then(|n| u32::try_from(n).ok())
    };
    v1::ExecStart {
        container: Some(rpc::container_key(tenant, &container.id)),
        exec_id: record.id.to_string(),
        spec_json: rpc::to_json(&record.spec).into(),
        detach: body.detach.unwrap_or(false),
        height: size(0).unwrap_or(record.spec.console_height.into()),
        width: size(1).unwrap_or(record.spec.console_width.into()),
    }
}

fn wire(piece: Input) -> exec_input::Input {
    match piece {
        Input::Stdin(data) => exec_input::Input::Stdin(data),
        Input::Close => exec_input::Input::CloseStdin(true),
    }
}

fn terms(record: &ExecRecord, caller: &Caller) -> Result<Terms> {
    let tty = record.spec.tty;
    let detach_keys = detach_keys::parse(&record.spec.detach_keys).map_err(|e| Error::invalid(e.to_string()))?;
    let (stdin, version) = (record.spec.attach_stdin, caller.version);
    Ok(Terms { stdin, tty, close_stdin: !tty, detach_keys, version, farewell: None })
}

impl Started {
    fn observation(&self, running: bool, exit_code: i32) -> ExecObservation {
        ExecObservation {
            tenant: self.tenant,
            container: self.record.container.clone(),
            exec: self.record.id.clone(),
            running,
            pid: self.pid,
            exit_code,
        }
    }

    fn session(self, rows: TenantView, terms: Terms) -> Session {
        let running = self.observation(true, 0);
        let (early, farewell) = (rows.clone(), rows.clone());
        // Beside the stream, not before it: an end that is stored meanwhile is final.
        tokio::spawn(async move { report(early.observe_exec(&running).await, &running.exec) });
        let ended: Ended = Box::new({
            let done = self.observation(false, 0);
            move |exit_code| {
                Box::pin(async move {
                    // Without a code the client has left and the process may run on: its host reports the end.
                    if let Some(exit_code) = exit_code {
                        let done = ExecObservation { exit_code, ..done };
                        report(persist(|| rows.observe_exec(&done)).await, &done.exec);
                    }
                })
            }
        });
        let farewell = Some(Farewell { rows: farewell, event: self.detach });
        Session { output: self.output.boxed(), input: self.input, terms: Terms { farewell, ..terms }, ended }
    }
}

fn report(stored: Result<()>, exec: &ExecId) {
    if let Err(error) = stored {
        tracing::warn!(cause = error.operator_text(), exec.id = %exec, "the state of an exec was not stored");
    }
}

async fn failed(
    rows: &TenantView,
    record: &ExecRecord,
    error: Error,
    detach: bool,
    takeover: Takeover,
    terms: &Terms,
) -> Answer {
    match error {
        Error::Conflict(_) | Error::NotFound { .. } | Error::Unavailable { .. } | Error::Forbidden(_) => {
            // Never tried: it may be started yet.
            let _ = rows.unclaim_exec(&record.id).await;
            Err(error.into())
        }
        error => {
            let ended = ExecObservation {
                tenant: rows.id(),
                container: record.container.clone(),
                exec: record.id.clone(),
                running: false,
                pid: 0,
                exit_code: CANNOT_EXECUTE,
            };
            persist(|| rows.observe_exec(&ended)).await?;
            // The client gets its words in the stream, so that the cause is told here or nowhere.
            tracing::info!(cause = error.operator_text(), exec.id = %record.id, "an exec did not start");
            match detach {
                true => Err(error.into()),
                false => Ok(takeover.respond_with_text(terms, format!("{error}\r\n"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_own_buffer_is_none_of_our_business() {
        let parse = |text: &str| parse(crate::extract::parse(text.as_bytes()).expect("JSON"));
        let body = parse(r#"{"Detach":true,"Tty":false,"OutputCapacity":100}"#).expect("valid");
        assert_eq!(body.detach, Some(true));
        assert!(parse(r#"{"OutputCapacity":"x"}"#).is_err() && parse(r#"{"Bogus":1}"#).is_err());
    }
}
