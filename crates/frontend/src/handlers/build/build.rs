//! `POST /build`: the context comes as the body, the output goes back line by line while the steps run.

use std::{collections::BTreeMap, time::Duration};

use axum::{body::Body, extract::State};
use base64::Engine as _;
use docker_api::progress::Line;
use domain::{Digest, Error, Result};
use http::{HeaderMap, StatusCode};
use images::RegistryAuth;
use inventory::TenantView;
use tokio::io::AsyncRead;
use uuid::Uuid;

use super::{
    abandoned::SILENT,
    answer,
    hands::Hand,
    output::Output,
    parameters::{self, Asked},
};
use crate::{
    error::{Answer, ApiError},
    extract::Caller,
    handlers::images::upload,
    query::Params,
    state::App,
};

/// Of a context's plain tar (policy B02).
const CONTEXT_MAX_BYTES: u64 = 8 << 30;
/// Of one tenant, at once (policy B13).
const BUILDS_MAX: i64 = 16;
/// Policy B13.
const WALL_CLOCK: Duration = Duration::from_secs(3600);
/// Much more often than [`SILENT`].
const BEAT: Duration = Duration::from_secs(5);
/// Policy I02, for all credentials together.
const CREDENTIALS_MAX_BYTES: usize = 64 << 10;

pub(crate) async fn build(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
    body: Body,
) -> Answer {
    let from = upload::reader(body);
    let asked = parameters::read(&params)?;
    let credentials = credentials(&headers)?;
    let rows = app.rows(&caller.tenant);
    let id = Uuid::new_v4();
    if !rows.begin_build(id, BUILDS_MAX, SILENT).await? {
        let text = format!("{BUILDS_MAX} builds are under way already (policy B13)");
        return Err(ApiError::Http(StatusCode::TOO_MANY_REQUESTS, text));
    }
    answer::streamed(asked.quiet, move |output| async move {
        // What this build makes is removed when this goes, also when the task is cut off here.
        let hand = Hand::new(app.clone(), caller, rows.clone(), id, &asked, credentials, output);
        let outcome = tokio::select! {
            outcome = work(&app, &rows, &hand, asked, from) => outcome,
            error = stay_known(&app, id) => Err(error.into()),
            () = tokio::time::sleep(WALL_CLOCK) => {
                Err(Error::invalid("the build took longer than an hour (policy B13)").into())
            }
        };
        hand.finish().await;
        if outcome.is_err() {
            hand.output().show_kept().await;
        }
        outcome
    })
    .await
}

async fn work(
    app: &App,
    rows: &TenantView,
    hand: &Hand,
    asked: Asked,
    from: impl AsyncRead + Send + Unpin,
) -> Result<(), ::build::Failure> {
    let context = app.images.context(from, CONTEXT_MAX_BYTES).await?;
    let Asked { request, names, .. } = asked;
    let prepared = tokio::task::spawn_blocking(move || ::build::Prepared::new(context, request)).await;
    let prepared = prepared.map_err(|e| Error::because("reading a build's context", e))??;
    let built = ::build::build(hand, &prepared).await?;
    let id = app.images.put_built(rows, built.config, &built.layers, &[]).await?;
    told(hand.output(), &id).await;
    for name in &names {
        let tag = name.tag().unwrap_or("latest");
        rows.tag(&id, &name.familiar_name(), tag).await?;
        if !hand.output().is_quiet() {
            hand.output().line(&Line::stream(format!("Successfully tagged {name}\n"))).await;
        }
    }
    Ok(())
}

async fn told(output: &Output, id: &Digest) {
    match output.is_quiet() {
        true => output.loud(&Line::stream(format!("{id}\n"))).await,
        false => output.line(&Line::stream(format!("Successfully built {}\n", &id.hex()[..12]))).await,
    }
}

/// Ends only when somebody has given the build up: its containers are no longer its own then.
async fn stay_known(app: &App, id: Uuid) -> Error {
    loop {
        tokio::time::sleep(BEAT).await;
        match app.inventory.beat_build(id).await {
            Ok(false) => return Error::unavailable("the build was given up while the inventory could not be reached"),
            Ok(true) => {}
            Err(error) => tracing::debug!(cause = error.operator_text(), "a build's sign of life"),
        }
    }
}

/// `X-Registry-Config`: credentials by registry. Never logged.
fn credentials(headers: &HeaderMap) -> Result<BTreeMap<String, RegistryAuth>> {
    let Some(value) = headers.get("x-registry-config").filter(|v| !v.is_empty()) else { return Ok(BTreeMap::new()) };
    let invalid = || Error::invalid("invalid X-Registry-Config header");
    if value.len() > CREDENTIALS_MAX_BYTES {
        return Err(invalid());
    }
    let text = value.to_str().map_err(|_| invalid())?.trim_end_matches('=').replace('+', "-").replace('/', "_");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
    let all: Option<BTreeMap<String, serde_json::Value>> = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    let mut found = BTreeMap::new();
    for (registry, auth) in all.unwrap_or_default() {
        let bytes = serde_json::to_vec(&auth).map_err(|_| invalid())?;
        let mut auth = RegistryAuth::from_json(&bytes)?;
        if auth.server_address.is_empty() {
            auth.server_address.clone_from(&registry);
        }
        found.insert(registry, auth);
    }
    Ok(found)
}
