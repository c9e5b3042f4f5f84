//! `GET /exec/{id}/json`. `Pid` is the host's business, and 0.

use axum::extract::State;
use domain::ExecRecord;
use serde::Serialize;

use super::parse_id;
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    state::App,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Exec<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    running: bool,
    exit_code: Option<i32>,
    process_config: ProcessConfig<'a>,
    open_stdin: bool,
    open_stderr: bool,
    open_stdout: bool,
    can_remove: bool,
    #[serde(rename = "ContainerID")]
    container_id: &'a str,
    detach_keys: &'a str,
    pid: u32,
}

#[derive(Serialize)]
struct ProcessConfig<'a> {
    tty: bool,
    entrypoint: &'a str,
    arguments: &'a [String],
    privileged: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
}

pub(crate) async fn inspect(State(app): State<App>, caller: Caller, Reference(reference): Reference) -> Answer {
    let record = app.rows(&caller.tenant).exec(&parse_id(&reference)?).await?;
    Ok(json::ok(&shown(&record)))
}

fn shown(record: &ExecRecord) -> Exec<'_> {
    let spec = &record.spec;
    let (entrypoint, arguments) = match spec.args.split_first() {
        Some((first, rest)) => (first.as_str(), rest),
        None => ("", &[][..]),
    };
    Exec {
        id: record.id.as_str(),
        running: record.running,
        exit_code: record.exit_code,
        process_config: ProcessConfig { tty: spec.tty, entrypoint, arguments, privileged: false, user: &spec.user },
        open_stdin: spec.attach_stdin,
        open_stderr: spec.attach_stderr,
        open_stdout: spec.attach_stdout,
        can_remove: record.exit_code.is_some(),
        container_id: record.container.as_str(),
        detach_keys: &spec.detach_keys,
        pid: 0,
    }
}
