//! `POST /volumes/create`: 201 with the volume, also when it is there already.

use axum::extract::State;
use docker_api::types::VolumeCreateRequest;
use domain::{Error, NewVolume, Result, VolumeDriver};
use inventory::Inventory;

use super::shown::Shown;
use crate::{
    error::Answer,
    extract::{Caller, Json},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    Json(body): Json<VolumeCreateRequest>,
) -> Answer {
    params.only(&[])?;
    let new = policy::volume(body)?;
    check_offered(&app.inventory, &new).await?;
    let (volume, _) = app.rows(&caller.tenant).create_volume(&new).await?;
    Ok(json::created(&Shown::of(&volume)))
}

/// What no host of the data centre could do is refused now, and not when the first container wants it.
pub(crate) async fn check_offered(inventory: &Inventory, new: &NewVolume) -> Result<()> {
    let shared = new.driver == Some(VolumeDriver::Shared);
    if !shared && new.size_bytes.is_none() {
        return Ok(());
    }
    let name = &new.name;
    if shared && new.size_bytes.is_some() {
        return Err(Error::invalid(format!("create {name}: quota size requested but no quota support")));
    }
    let hosts = inventory.hosts().await?;
    if shared && !hosts.iter().any(|h| h.facts.shared_volumes) {
        return Err(Error::Missing(format!(
            "create {name}: error looking up volume plugin shared: plugin \"shared\" not found"
        )));
    }
    if !shared && !hosts.iter().any(|h| h.facts.volume_quotas) {
        return Err(Error::invalid(format!("create {name}: quota size requested but no quota support")));
    }
    Ok(())
}
