//! `DELETE /containers/{id}`: 204. The host forgets first, then the inventory gives the reservation back.
//!
//! A host that has nothing of the container (its create was cut short) is no obstacle. A silent host is: while it may still
//! run the container, the row stays.

use std::time::Duration;

use axum::extract::State;
use domain::{ContainerId, Error, Result, Status};
use http::StatusCode;
use inventory::{Container, TenantView};
use rpc::v1;

use super::verb::{Target, observation, persist, within};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

/// Unmounting and deleting a large snapshot takes its time.
const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) async fn remove(State(app): State<App>, caller: Caller, Reference(id): Reference, params: Params) -> Answer {
    params.only(&["v", "force", "link"])?;
    if params.flag("link") {
        return Err(Error::invalid("link: legacy links do not exist on this endpoint").into());
    }
    one(&app, &caller, &id, params.flag("force"), params.flag("v")).await?;
    Ok(json::empty(StatusCode::NO_CONTENT))
}

/// The container `id` of the caller, on its host and in the inventory; `volumes`: its anonymous ones too.
pub(super) async fn one(app: &App, caller: &Caller, id: &str, force: bool, volumes: bool) -> Result<()> {
    let target = Target::find(app, caller, id).await?;
    check(&target.container, force)?;
    // Whoever hears first that it is gone, a frontend or a scheduler, takes the volumes along.
    let with_volumes = volumes && !target.container.volumes.is_empty();
    if with_volumes {
        target.rows.volumes_go_with(&target.container.id, true).await?;
    }
    let request = v1::RemoveRequest { container: Some(target.key.clone()), force };
    match target.agent.clone().remove(within(DEADLINE, request)).await.map_err(rpc::status::from_status) {
        Ok(reply) => {
            let last = observation(reply.get_ref())?.happenings;
            persist(|| target.rows.forget_with(&target.container.id, &last)).await?;
        }
        Err(Error::NotFound { .. }) => {
            persist(|| target.rows.forget(&target.container.id)).await?;
        }
        Err(Error::Conflict(why)) => {
            if with_volumes && !target.container.spec.auto_remove {
                target.rows.volumes_go_with(&target.container.id, false).await?;
            }
            return Err(refused(&target.container, &why));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// For what is ours to remove, whatever it does: a build's steps.
pub(crate) async fn by_force(app: &App, tenant: &identity::Tenant, id: &ContainerId) -> Result<()> {
    from(app, &app.rows(tenant), id).await
}

pub(crate) async fn from(app: &App, rows: &TenantView, id: &ContainerId) -> Result<()> {
    let container = rows.container(id.as_str()).await?;
    if !container.volumes.is_empty() {
        rows.volumes_go_with(id, true).await?;
    }
    let request = v1::RemoveRequest { container: Some(rpc::container_key(rows.id(), id)), force: true };
    match app.agent(&container)?.remove(within(DEADLINE, request)).await.map_err(rpc::status::from_status) {
        Ok(reply) => {
            let last = observation(reply.get_ref())?.happenings;
            persist(|| rows.forget_with(id, &last)).await.map(drop)
        }
        Err(Error::NotFound { .. }) => persist(|| rows.forget(id)).await.map(drop),
        Err(error) => Err(error),
    }
}

/// By what the inventory knows; the agent decides again by what is.
fn check(container: &Container, force: bool) -> Result<()> {
    let status = container.observation.status;
    if force || status.can_remove() {
        return Ok(());
    }
    Err(refused(container, &in_the_way(status)))
}

fn in_the_way(status: Status) -> String {
    match status {
        Status::Paused => "container is paused and must be unpaused first".to_owned(),
        other => format!("container is {other}: stop the container before removing or force remove"),
    }
}

fn refused(container: &Container, why: &str) -> Error {
    if why.starts_with("cannot remove container") {
        return Error::conflict(why);
    }
    Error::conflict(format!("cannot remove container \"/{}\": {why}", container.name))
}
