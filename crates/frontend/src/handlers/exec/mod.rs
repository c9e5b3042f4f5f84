//! `/exec`, and `/containers/{id}/exec`.

pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod resize;
pub(crate) mod start;

use domain::{Error, ExecId, Kind, Result, Status};
use inventory::Container;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A strict parse that leaves out the fields that clients send undocumented, and that have no effect in dockerd either.
fn parse_without<T: DeserializeOwned>(mut body: Value, idle: impl Fn(&str, &Value) -> bool) -> Result<T> {
    if let Value::Object(fields) = &mut body {
        fields.retain(|name, value| !idle(name, value));
    }
    crate::extract::parse(&rpc::to_json(&body))
}

/// What is no id names nothing: the same 404 as an unknown one.
fn parse_id(reference: &str) -> Result<ExecId> {
    reference.parse().map_err(|_| Error::not_found(Kind::Exec, reference))
}

/// Whether a process can be started in it; `reference` is what the client wrote.
fn check_status(container: &Container, reference: &str) -> Result<()> {
    let id = &container.id;
    Err(Error::conflict(match container.observation.status {
        Status::Running => return Ok(()),
        Status::Paused => format!("Container {reference} is paused, unpause the container before exec"),
        Status::Restarting => format!("Container {id} is restarting, wait until the container is running"),
        Status::Created | Status::Exited | Status::Removing | Status::Dead => format!("container {id} is not running"),
    }))
}
