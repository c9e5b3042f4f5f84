//! `/exec`, and `/containers/{id}/exec`.

pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod resize;
pub(crate) mod start;

use domain::{Error, ExecId, Kind, Result, Status};
use inventory::Container;

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
