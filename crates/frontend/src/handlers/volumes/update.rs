//! `PUT /volumes/{name}` changes cluster volumes of Swarm, which nobody has here.

use axum::extract::State;
use domain::Error;

use crate::{
    error::Answer,
    extract::{Caller, Reference},
    state::App,
};

pub(crate) async fn update(State(app): State<App>, caller: Caller, Reference(name): Reference) -> Answer {
    let volume = app.rows(&caller.tenant).volume(&name).await?;
    Err(Error::unsupported(format!("volume {} is not a cluster volume: it has nothing to update", volume.name)).into())
}
