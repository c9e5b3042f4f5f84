//! `GET /containers/json`: one query for all of the tenant's containers; filters and the limit work on its result.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use axum::extract::State;
use chrono::{DateTime, Utc};
use docker_api::human::{Seen, status_text};
use domain::{Digest, Result};
use inventory::{ContainerSummary, Image, TenantView};
use serde::Serialize;

use super::{filter::Filter, mounts::Mount, network::Networks};
use crate::{error::Answer, extract::Caller, json, query::Params, state::App};

pub(crate) async fn list(State(app): State<App>, caller: Caller, params: Params) -> Answer {
    params.only(&["all", "limit", "size", "filters"])?;
    let rows = app.rows(&caller.tenant);
    let filter = Filter::read(&params, &rows).await?;
    let all = everything(&app, &rows).await?;
    let sizes = if params.flag("size") { Some(image_sizes(&rows.images().await?)) } else { None };
    let now = Utc::now();
    let kept = filter.keep(&all);
    let lines: Vec<Line<'_>> = kept.into_iter().map(|c| Line::of(c, now, sizes.as_ref())).collect();
    Ok(json::ok(&lines))
}

async fn everything(app: &App, rows: &TenantView) -> Result<Arc<Vec<ContainerSummary>>> {
    let current = app.snapshots.current(rows).await?;
    if let Some(list) = current.list() {
        return Ok(list);
    }
    let list = Arc::new(rows.containers().await?);
    current.keep_list(&list);
    Ok(list)
}

/// Bytes of each image's file system.
pub(crate) fn image_sizes(images: &[Image]) -> HashMap<Digest, u64> {
    images.iter().map(|image| (image.id.clone(), image.size_bytes)).collect()
}

/// One container, as `ps` and `system df` show it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Line<'a> {
    id: &'a str,
    names: [String; 1],
    image: &'a str,
    #[serde(rename = "ImageID")]
    image_id: &'a str,
    command: &'a str,
    created: i64,
    ports: Vec<Port<'a>>,
    /// Go leaves out a 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    labels: &'a BTreeMap<String, String>,
    state: &'static str,
    status: String,
    host_config: HostConfig<'a>,
    network_settings: NetworkSettings<'a>,
    mounts: Vec<Mount<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig<'a> {
    network_mode: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings<'a> {
    networks: Networks<'a>,
}

/// A published port, or one that is just exposed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Port<'a> {
    #[serde(rename = "IP", skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    private_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_port: Option<u16>,
    #[serde(rename = "Type")]
    protocol: &'a str,
}

impl<'a> Port<'a> {
    /// Of a container that runs and has a network.
    fn all(c: &'a ContainerSummary) -> Vec<Self> {
        if !c.observation.status.is_running() || c.endpoints.is_empty() {
            return Vec::new();
        }
        let published = c.ports.iter().map(|port| Self {
            ip: Some(port.address),
            private_port: port.container_port,
            public_port: Some(port.port),
            protocol: port.protocol.as_str(),
        });
        let is_published =
            |number, protocol| c.ports.iter().any(|p| (p.container_port, p.protocol.as_str()) == (number, protocol));
        let exposed = c.exposed_ports.iter().filter_map(|port| {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            let private_port = number.parse().ok()?;
            let only = !is_published(private_port, protocol);
            only.then_some(Self { ip: None, private_port, public_port: None, protocol })
        });
        published.chain(exposed).collect()
    }
}

impl<'a> Line<'a> {
    /// With sizes where those of the images are given: what it has written, and that with its image.
    pub(crate) fn of(c: &'a ContainerSummary, now: DateTime<Utc>, sizes: Option<&HashMap<Digest, u64>>) -> Self {
        let running = c.observation.status.is_running();
        let size_rw = c.observation.size_rw_bytes.unwrap_or(0);
        let root_fs =
            |sizes: &HashMap<Digest, u64>| sizes.get(&c.image_id).copied().unwrap_or(0).saturating_add_signed(size_rw);
        Self {
            id: c.id.as_str(),
            names: [format!("/{}", c.name)],
            image: &c.image_reference,
            image_id: c.image_id.as_str(),
            command: &c.command,
            created: c.created_at.timestamp(),
            ports: Port::all(c),
            size_rw: sizes.map(|_| size_rw).filter(|bytes| *bytes > 0),
            size_root_fs: sizes.map(root_fs).filter(|bytes| *bytes > 0),
            labels: &c.labels,
            state: c.observation.status.as_str(),
            status: status(c, now),
            host_config: HostConfig { network_mode: &c.network_mode },
            network_settings: NetworkSettings {
                networks: Networks::new(&c.endpoints, c.name.as_str(), c.id.short(), running),
            },
            mounts: c.volumes.iter().map(Mount::in_list).collect(),
        }
    }
}

fn status(c: &ContainerSummary, now: DateTime<Utc>) -> String {
    let seen = Seen {
        status: c.observation.status.as_str(),
        exit_code: c.observation.exit_code,
        started_at: c.observation.started_at,
        finished_at: c.observation.finished_at,
        health: c.observation.health.as_ref().map(|h| h.status.as_str()),
        host_unreachable: !c.host_reachable,
    };
    status_text(&seen, now)
}
