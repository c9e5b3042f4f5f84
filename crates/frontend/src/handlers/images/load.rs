//! `POST /images/load`: an archive of images, as `docker save` or an OCI layout.

use axum::{body::Body, extract::State};
use docker_api::progress::Line;
use images::Loaded;
use tokio::sync::mpsc;

use super::{lines, platform, told, upload};
use crate::{error::Answer, extract::Caller, query::Params, state::App};

pub(crate) async fn load(State(app): State<App>, caller: Caller, params: Params, body: Body) -> Answer {
    let from = upload::reader(body);
    params.only(&["platform", "quiet"])?;
    let platform = platform::wanted(&params)?;
    let (rows, quiet) = (app.rows(&caller.tenant), params.flag("quiet"));
    lines::streamed(move |progress| async move {
        let (muted, _) = mpsc::channel(1);
        let progress = if quiet { muted } else { progress };
        let loaded = app.images.load(&rows, from, platform, progress).await?;
        told::of(&rows, "load", loaded.iter().map(|l| &l.id)).await;
        Ok(loaded.iter().map(line).collect())
    })
    .await
}

fn line(loaded: &Loaded) -> Line {
    Line::stream(match &loaded.reference {
        Some(reference) => format!("Loaded image: {reference}\n"),
        None => format!("Loaded image ID: {}\n", loaded.id),
    })
}
