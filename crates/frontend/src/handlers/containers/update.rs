//! `POST /containers/{id}/update`: other limits, another restart policy; 200 with warnings.
//!
//! Room first, then the host, then the row (see `inventory::Update`): when the host fails, the container and everything that
//! was reserved for it are as before.

use std::time::{Duration, Instant};

use axum::extract::State;
use docker_api::types::{ContainerUpdateBody, HostConfig, host_config_json};
use domain::{ContainerSpec, Error, Result, Status, spec::RestartPolicy};
use inventory::{Claim, Container, Update};
use policy::Package;
use rpc::v1;
use serde::Serialize;
use serde_json::value::to_raw_value;

use super::verb::{Target, persist, within};
use crate::{
    error::Answer,
    extract::{Caller, Json, Reference},
    json,
    query::Params,
    state::App,
};

/// Shorter than a claim lasts.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long another update of the same container is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answered {
    warnings: Option<Vec<String>>,
}

pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
    Json(body): Json<ContainerUpdateBody>,
) -> Answer {
    params.only(&[])?;
    let begun = Instant::now();
    let (target, change, claim) = loop {
        let target = Target::find(&app, &caller, &id).await?;
        let change = Change::of(&target.container, body.clone())?;
        let (container, resources) = (&target.container, &change.update.spec.resources);
        match target.rows.begin_update(&container.id, &container.docker_host_config, resources).await {
            Ok(Some(claim)) => break (target, change, claim),
            Ok(None) if begun.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            Ok(None) => return Err(cannot(container, "another update of it is under way").into()),
            Err(Error::NoCapacity(why)) => {
                return Err(Error::NoCapacity(format!("Cannot update container {}: {why}", container.id)).into());
            }
            Err(error) => return Err(error.into()),
        }
    };
    let warnings = change.apply(&app, &caller, &target, claim).await?;
    target.rows.record_event(target.container.event("update")).await?;
    Ok(json::ok(&Answered { warnings: Some(warnings).filter(|w| !w.is_empty()) }))
}

/// What becomes of a container.
struct Change {
    update: Update,
    warnings: Vec<String>,
}

impl Change {
    fn of(container: &Container, body: ContainerUpdateBody) -> Result<Self> {
        if matches!(container.observation.status, Status::Removing | Status::Dead) {
            return Err(cannot(container, "container is marked for removal and cannot be \"update\""));
        }
        let updated = policy::update(&container.spec, &Package::standard(), body).map_err(|error| match error {
            Error::Conflict(why) => cannot(container, &why),
            other => other,
        })?;
        let unreadable = |e| Error::because("the stored HostConfig of a container", e);
        let shown: HostConfig = serde_json::from_str(container.docker_host_config.get()).map_err(unreadable)?;
        let shown = host_config_json(&updated.apply_to(shown)).and_then(|json| to_raw_value(&json));
        let spec = ContainerSpec {
            resources: updated.resources.clone(),
            restart: updated.restart.unwrap_or(container.spec.restart),
            ..container.spec.clone()
        };
        let update = Update { spec, docker_host_config: shown.map_err(unreadable)? };
        Ok(Self { update, warnings: updated.warnings })
    }

    /// The host, then the row; or everything back.
    async fn apply(self, app: &App, caller: &Caller, target: &Target, claim: Claim) -> Result<Vec<String>> {
        let before = &target.container.spec.resources;
        let reply = match self.ask_host(app, caller, target).await {
            Ok(reply) => reply,
            Err(error) => {
                persist(|| target.rows.finish_update(&claim, before, None)).await?;
                return Err(match error {
                    Error::Conflict(why) => cannot(&target.container, &why),
                    other => other,
                });
            }
        };
        let spec = &self.update.spec;
        persist(|| target.rows.finish_update(&claim, &spec.resources, Some(&self.update))).await?;
        target.store(reply).await?;
        Ok(self.warnings)
    }

    async fn ask_host(&self, app: &App, caller: &Caller, target: &Target) -> Result<v1::VerbReply> {
        let container = &target.container;
        let spec = &self.update.spec;
        let restart: RestartPolicy = spec.restart;
        let request = v1::UpdateRequest {
            container: Some(rpc::container_key(caller.tenant.id(), &container.id)),
            resources_json: rpc::to_json(&spec.resources).into(),
            restart_json: rpc::to_json(&restart).into(),
        };
        let mut agent = app.channels.measure(container.host, &container.host_endpoint)?;
        let replied = agent.update(within(DEADLINE, request)).await;
        Ok(replied.map_err(rpc::status::from_status)?.into_inner())
    }
}

fn cannot(container: &Container, why: &str) -> Error {
    Error::conflict(format!("Cannot update container {}: {why}", container.id))
}
