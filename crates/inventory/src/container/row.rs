//! Rows of `containers`, joined with their host and (as one JSON value) their endpoints.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{
    ContainerSpec, Endpoint, Error, Health, HostId, MountedVolume, Observation, PublishedPort, Result, TenantId,
};
use serde_json::value::RawValue;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Container, ContainerSummary};

#[derive(sqlx::FromRow)]
pub(super) struct SummaryRow {
    tenant_id: Uuid,
    id: String,
    name: String,
    host_id: Uuid,
    host_endpoint: String,
    host_reachable: bool,
    image_id: String,
    image_reference: String,
    command: String,
    network_mode: String,
    labels: Json<BTreeMap<String, String>>,
    generation: i64,
    status: String,
    pid: i64,
    exit_code: i32,
    oom_killed: bool,
    error: String,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    restart_count: i32,
    health: Option<Json<Health>>,
    size_rw_bytes: Option<i64>,
    exposed_ports: Vec<String>,
    ports: Option<Json<Vec<PublishedPort>>>,
    volumes: Option<Json<Vec<MountedVolume>>>,
    endpoints: Option<Json<Vec<Endpoint>>>,
    created_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
pub(super) struct ContainerRow {
    #[sqlx(flatten)]
    summary: SummaryRow,
    spec: Json<ContainerSpec>,
    docker_config: Json<Box<RawValue>>,
    docker_host_config: Json<Box<RawValue>>,
}

/// What our own columns hold was checked before it was stored: a parse error is a defect, not the tenant's mistake.
fn stored<T>(parsed: Result<T>) -> Result<T> {
    parsed.map_err(|cause| Error::because("read a container's row", cause))
}

impl TryFrom<SummaryRow> for ContainerSummary {
    type Error = Error;
    fn try_from(row: SummaryRow) -> Result<Self> {
        let id: domain::ContainerId = stored(row.id.parse())?;
        Ok(Self {
            name: stored(row.name.parse())?,
            host: HostId(row.host_id),
            host_endpoint: row.host_endpoint,
            host_reachable: row.host_reachable,
            image_id: stored(row.image_id.parse())?,
            image_reference: row.image_reference,
            command: row.command,
            network_mode: row.network_mode,
            labels: row.labels.0,
            observation: Observation {
                tenant: TenantId(row.tenant_id),
                container: id.clone(),
                generation: row.generation.unsigned_abs(),
                status: stored(row.status.parse())?,
                removed: false,
                pid: u32::try_from(row.pid).unwrap_or(0),
                exit_code: row.exit_code,
                oom_killed: row.oom_killed,
                error: row.error,
                started_at: row.started_at,
                finished_at: row.finished_at,
                restart_count: row.restart_count.unsigned_abs(),
                health: row.health.map(|h| h.0),
                size_rw_bytes: row.size_rw_bytes,
                happenings: Vec::new(),
            },
            volumes: row.volumes.map(|v| v.0).unwrap_or_default(),
            endpoints: row.endpoints.map(|e| e.0).unwrap_or_default(),
            exposed_ports: row.exposed_ports,
            ports: row.ports.map(|p| p.0).unwrap_or_default(),
            created_at: row.created_at,
            id,
        })
    }
}

impl TryFrom<ContainerRow> for Container {
    type Error = Error;
    fn try_from(row: ContainerRow) -> Result<Self> {
        let summary = ContainerSummary::try_from(row.summary)?;
        Ok(Self {
            id: summary.id,
            name: summary.name,
            host: summary.host,
            host_endpoint: summary.host_endpoint,
            host_reachable: summary.host_reachable,
            image_id: summary.image_id,
            image_reference: summary.image_reference,
            command: summary.command,
            network_mode: summary.network_mode,
            spec: row.spec.0,
            docker_config: row.docker_config.0,
            docker_host_config: row.docker_host_config.0,
            labels: summary.labels,
            observation: summary.observation,
            volumes: summary.volumes,
            endpoints: summary.endpoints,
            ports: summary.ports,
            created_at: summary.created_at,
        })
    }
}
