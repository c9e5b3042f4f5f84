//! `POST /containers/create`: 201 with an id. Policy, then a reservation at a scheduler, then the record on the host.
//!
//! The reservation comes before the agent's call, so that a crash between the two leaves a row that the reaper finds, not a
//! container that nobody owns. When the agent fails, the row goes: nothing half-made stays.

use std::{collections::BTreeMap, time::Duration};

use axum::extract::State;
use chrono::Utc;
use docker_api::{
    names,
    types::{ContainerCreateBody, container_config_json, host_config_json},
};
use domain::{ContainerId, ContainerName, Digest, Error, Layer, NewContainer, Result, spec::LogDriver};
use inventory::{Image, TenantView};
use policy::{Accepted, CreateContext, ImageFacts, Package};
use rpc::v1;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::verb::{observation, persist, within};
use crate::{
    error::Answer,
    extract::{Caller, Json},
    handlers::volumes::create::check_offered,
    json,
    query::Params,
    state::App,
};

/// The host may have to fetch and unpack a large image first.
const CREATE: Duration = Duration::from_secs(900);
const PLACE: Duration = Duration::from_secs(30);
/// Random names that are tried before numbered ones.
const PLAIN_NAMES: u32 = 5;
const NAMES_MOST: u32 = 10;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created<'a> {
    id: &'a ContainerId,
    warnings: &'a [String],
}

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    Json(body): Json<ContainerCreateBody>,
) -> Answer {
    params.only(&["name", "platform"])?;
    let given = params.filled("name").map(str::parse::<ContainerName>).transpose()?;
    let rows = app.rows(&caller.tenant);
    let image = find_image(&rows, &body, params.get("platform").unwrap_or_default()).await?;
    let volumes_from = referenced(&rows, &body).await?;
    let id = ContainerId::random();
    let facts = facts(image.id, image.layers, &image.config)?;
    let wanted = Wanted { id: &id, name: given, image: &facts, volumes_from: &volumes_from, labels: &BTreeMap::new() };
    let warnings = wanted.make(&app, &caller, body).await?;
    Ok(json::created(&Created { id: &id, warnings: &warnings }))
}

/// What policy needs of an image.
pub(crate) fn facts(image_id: Digest, layers: Vec<Layer>, config: &[u8]) -> Result<ImageFacts> {
    ImageFacts::read(domain::ImageRootfs { image_id, layers }, config)
}

/// A container that is to be made: a request's, or a step of a build.
pub(crate) struct Wanted<'a> {
    pub(crate) id: &'a ContainerId,
    /// None: one is made up.
    pub(crate) name: Option<ContainerName>,
    pub(crate) image: &'a ImageFacts,
    pub(crate) volumes_from: &'a BTreeMap<String, Vec<domain::spec::VolumeMount>>,
    /// Ours, which no tenant may set.
    pub(crate) labels: &'a BTreeMap<String, String>,
}

impl Wanted<'_> {
    /// Placed and made on its host: the warnings.
    pub(crate) async fn make(&self, app: &App, caller: &Caller, body: ContainerCreateBody) -> Result<Vec<String>> {
        let rows = app.rows(&caller.tenant);
        let mut tries = 0;
        let (mut warnings, placed) = loop {
            tries += 1;
            let name = self.name.clone().map_or_else(|| generated(tries), Ok)?;
            let draft = Draft { app, rows: &rows, wanted: self, name: &name };
            match draft.place(body.clone(), caller).await {
                Err(Error::Conflict(_)) if self.name.is_none() && tries < NAMES_MOST => (),
                placed => break placed?,
            }
        };
        warnings.extend(placed.warnings.iter().cloned());
        make(app, &rows, caller, self.id, placed).await?;
        Ok(warnings)
    }
}

fn generated(tries: u32) -> Result<ContainerName> {
    if tries <= PLAIN_NAMES { names::random().parse() } else { names::random_numbered().parse() }
}

async fn find_image(rows: &TenantView, body: &ContainerCreateBody, platform: &str) -> Result<Image> {
    let wanted = policy::platform(platform)?;
    let reference = body.image.as_deref().unwrap_or_default();
    let image = rows.image(reference).await?;
    match wanted {
        Some((os, architecture)) if (os, architecture) != (image.os.as_str(), image.architecture.as_str()) => {
            Err(Error::Missing(format!(
                "image with reference {reference} was found but does not provide the specified platform ({platform})"
            )))
        }
        _ => Ok(image),
    }
}

/// Ids and names inside the body mean the tenant's own containers; one that is not there is the same 404 as any other.
async fn referenced(
    rows: &TenantView,
    body: &ContainerCreateBody,
) -> Result<BTreeMap<String, Vec<domain::spec::VolumeMount>>> {
    let mut volumes = BTreeMap::new();
    for reference in policy::referenced_containers(body) {
        let container = rows.container(&reference).await?;
        volumes.insert(reference, container.spec.volumes);
    }
    Ok(volumes)
}

/// A container that is about to be placed.
struct Draft<'a> {
    app: &'a App,
    rows: &'a TenantView,
    wanted: &'a Wanted<'a>,
    name: &'a ContainerName,
}

/// Where it is to be made, and of what.
struct Placed {
    host: domain::HostId,
    host_endpoint: String,
    warnings: Vec<String>,
    create: v1::CreateRequest,
}

impl Draft<'_> {
    /// The policy's warnings, and the reservation.
    async fn place(&self, body: ContainerCreateBody, caller: &Caller) -> Result<(Vec<String>, Placed)> {
        let reference = body.image.clone().unwrap_or_default();
        let context = CreateContext {
            package: &Package::standard(),
            image: self.wanted.image,
            id: self.wanted.id,
            name: self.name,
            default_log: LogDriver::JsonFile,
            // The Docker API answers there, at each tenant's address.
            reserved_ports: &[self.app.config.listen.port()],
            volumes_from: self.wanted.volumes_from,
        };
        let mut accepted = policy::create(&context, body)?;
        self.link(&mut accepted).await?;
        for volume in &accepted.volumes {
            check_offered(&self.app.inventory, volume).await?;
        }
        let warnings = accepted.warnings.clone();
        let spec_json = rpc::to_json(&accepted.spec);
        let new = self.row(caller, reference, accepted)?;
        Ok((warnings, self.reserve(&new, spec_json).await?))
    }

    /// As in dockerd: on the default network a link is to one container, whatever it is called later; elsewhere it is to
    /// whoever has the name.
    async fn link(&self, accepted: &mut Accepted) -> Result<()> {
        if accepted.network_mode == "bridge" {
            for linked in accepted.spec.dns.links.values_mut() {
                *linked = self.rows.container(linked).await?.id.short().to_owned();
            }
        }
        Ok(())
    }

    fn row(&self, caller: &Caller, image_reference: String, accepted: Accepted) -> Result<NewContainer> {
        let mut labels = accepted.labels;
        labels.extend(self.wanted.labels.clone());
        Ok(NewContainer {
            tenant: caller.tenant.id(),
            id: self.wanted.id.clone(),
            name: self.name.clone(),
            name_generated: self.wanted.name.is_none(),
            image_reference,
            command: accepted.command,
            network_mode: accepted.network_mode,
            spec: accepted.spec,
            volumes: accepted.volumes,
            labels,
            constraints: accepted.constraints,
            affinities: accepted.affinities,
            docker_config: raw(container_config_json(&accepted.config))?,
            docker_host_config: raw(host_config_json(&accepted.host_config))?,
            created_at: Utc::now(),
        })
    }

    async fn reserve(&self, new: &NewContainer, spec_json: Vec<u8>) -> Result<Placed> {
        let reply = match self.app.place(rpc::to_json(new), PLACE).await {
            Ok(reply) => reply,
            Err(error @ Error::Unavailable { .. }) => {
                // It may have been committed before the connection broke.
                give_back(self.rows, self.wanted.id).await;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        Ok(Placed {
            host: reply.host_id.parse()?,
            host_endpoint: reply.host_endpoint,
            warnings: reply.warnings,
            create: v1::CreateRequest {
                container: Some(rpc::container_key(new.tenant, self.wanted.id)),
                name: self.name.to_string(),
                uid_base: reply.uid_base,
                spec_json: spec_json.into(),
                endpoints_json: reply.endpoints_json,
                volumes_json: reply.volumes_json,
            },
        })
    }
}

fn raw(value: serde_json::Result<serde_json::Value>) -> Result<Box<RawValue>> {
    value.and_then(|value| to_raw_value(&value)).map_err(|e| Error::because("Docker's JSON of a container", e))
}

/// Makes it on its host, or takes the reservation back.
async fn make(app: &App, rows: &TenantView, caller: &Caller, id: &ContainerId, placed: Placed) -> Result<()> {
    let made = async {
        let mut agent = app.channels.agent(placed.host, &placed.host_endpoint)?;
        let reply = agent.create(within(CREATE, placed.create)).await.map_err(rpc::status::from_status)?;
        let seen = observation(&reply.into_inner())?;
        // A create that took so long that its row was given up must not be answered with 201.
        persist(|| rows.observe_created(&seen)).await
    };
    match made.await {
        Ok(()) => Ok(()),
        Err(error) => {
            tracing::info!(container.id = %id, host.id = %placed.host, tenant = %caller.tenant.id(), "create is undone");
            give_back(rows, id).await;
            Err(error)
        }
    }
}

async fn give_back(rows: &TenantView, id: &ContainerId) {
    if let Err(error) = rows.forget(id).await {
        tracing::warn!(container.id = %id, cause = error.operator_text(), "a reservation is left to the reaper");
    }
}
