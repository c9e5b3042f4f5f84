//! `GET /containers/{id}/json`. Hot: what the tenant asked for was rendered at create, and goes out as it is stored.
//!
//! Blank on purpose: everything that tells of the host (`State.Pid`, paths, `SandboxKey`, `GraphDriver.Data`).

use std::collections::BTreeMap;

use axum::extract::State;
use bytes::Bytes;
use docker_api::time::{rfc3339nano, rfc3339nano_or_zero};
use domain::{Error, ExecId, Health, Observation, Result, Status};
use http::StatusCode;
use inventory::{Container, TenantView};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{mounts::Mount, network::Networks};
use crate::{
    error::Answer,
    extract::{Caller, Reference},
    json,
    query::Params,
    state::App,
};

pub(crate) async fn inspect(
    State(app): State<App>,
    caller: Caller,
    Reference(id): Reference,
    params: Params,
) -> Answer {
    params.only(&["size"])?;
    let rows = app.rows(&caller.tenant);
    let with_sizes = params.flag("size");
    let current = app.snapshots.current(&rows).await?;
    if let Some(body) = current.inspect(&id, with_sizes) {
        return Ok(json::with(StatusCode::OK, body));
    }
    let container = rows.container(&id).await?;
    let execs = match container.observation.status.is_running() {
        true => rows.live_execs(&container.id).await?,
        false => Vec::new(),
    };
    let sizes = if with_sizes { Some(sizes(&rows, &container).await?) } else { None };
    let body = Bytes::from(json::bytes(&Inspect::of(&container, &execs, sizes)));
    // The end of an exec is no new revision.
    if execs.is_empty() {
        current.keep_inspect(&id, with_sizes, &body);
    }
    Ok(json::with(StatusCode::OK, body))
}

async fn sizes(rows: &TenantView, container: &Container) -> Result<Sizes> {
    let size_rw = container.observation.size_rw_bytes.unwrap_or(0);
    let image_bytes = match rows.image(container.image_id.as_str()).await {
        Ok(image) => image.size_bytes,
        // Removed by force.
        Err(Error::NotFound { .. }) => 0,
        Err(error) => return Err(error),
    };
    Ok(Sizes { size_rw, size_root_fs: image_bytes.saturating_add_signed(size_rw) })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspect<'a> {
    id: &'a str,
    created: String,
    path: &'a str,
    args: &'a [String],
    state: ShownState<'a>,
    image: &'a str,
    resolv_conf_path: &'a str,
    hostname_path: &'a str,
    hosts_path: &'a str,
    log_path: &'a str,
    name: String,
    restart_count: u32,
    driver: &'a str,
    platform: &'a str,
    mount_label: &'a str,
    process_label: &'a str,
    app_armor_profile: &'a str,
    #[serde(rename = "ExecIDs")]
    exec_ids: Option<&'a [ExecId]>,
    host_config: &'a RawValue,
    graph_driver: GraphDriver,
    #[serde(flatten)]
    sizes: Option<Sizes>,
    mounts: Vec<Mount<'a>>,
    config: &'a RawValue,
    network_settings: NetworkSettings<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownState<'a> {
    status: Status,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: u32,
    exit_code: i32,
    error: &'a str,
    started_at: String,
    finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<ShownHealth<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownHealth<'a> {
    status: &'a str,
    failing_streak: u32,
    log: Vec<Probe<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Probe<'a> {
    start: String,
    end: String,
    exit_code: i32,
    output: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    data: Option<()>,
    name: &'static str,
}

/// Asked for with `size=1`: what the container has written, as last measured, and that with its image.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sizes {
    size_rw: i64,
    size_root_fs: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings<'a> {
    bridge: &'a str,
    #[serde(rename = "SandboxID")]
    sandbox_id: &'a str,
    sandbox_key: &'a str,
    /// Exposed ones, with where they are published.
    ports: BTreeMap<String, Option<Vec<Binding>>>,
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local_ipv6_address: &'a str,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_ipv6_prefix_len: u8,
    #[serde(rename = "SecondaryIPAddresses")]
    secondary_ip_addresses: Option<()>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    secondary_ipv6_addresses: Option<()>,
    #[serde(rename = "EndpointID")]
    endpoint_id: &'a str,
    gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: &'a str,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u8,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: &'a str,
    mac_address: &'a str,
    networks: Networks<'a>,
}

impl<'a> Inspect<'a> {
    fn of(container: &'a Container, execs: &'a [ExecId], sizes: Option<Sizes>) -> Self {
        let (path, args) = match container.spec.process.args.split_first() {
            Some((path, args)) => (path.as_str(), args),
            None => ("", &[][..]),
        };
        Self {
            id: container.id.as_str(),
            created: rfc3339nano(container.created_at),
            path,
            args,
            state: ShownState::of(&container.observation),
            image: container.image_id.as_str(),
            resolv_conf_path: "",
            hostname_path: "",
            hosts_path: "",
            log_path: "",
            name: format!("/{}", container.name),
            restart_count: container.observation.restart_count,
            driver: "overlayfs",
            platform: "linux",
            mount_label: "",
            process_label: "",
            app_armor_profile: "",
            exec_ids: (!execs.is_empty()).then_some(execs),
            host_config: &container.docker_host_config,
            graph_driver: GraphDriver { data: None, name: "overlayfs" },
            sizes,
            mounts: container.volumes.iter().map(Mount::of).collect(),
            config: &container.docker_config,
            network_settings: NetworkSettings::of(container),
        }
    }
}

impl<'a> ShownState<'a> {
    fn of(seen: &'a Observation) -> Self {
        Self {
            status: seen.status,
            running: seen.status.is_running(),
            paused: seen.status == Status::Paused,
            restarting: seen.status == Status::Restarting,
            oom_killed: seen.oom_killed,
            dead: seen.status == Status::Dead,
            pid: 0,
            exit_code: seen.exit_code,
            error: &seen.error,
            started_at: rfc3339nano_or_zero(seen.started_at),
            finished_at: rfc3339nano_or_zero(seen.finished_at),
            health: seen.health.as_ref().map(ShownHealth::of),
        }
    }
}

impl<'a> ShownHealth<'a> {
    fn of(health: &'a Health) -> Self {
        let log = health.log.iter().map(|probe| Probe {
            start: rfc3339nano(probe.start),
            end: rfc3339nano(probe.end),
            exit_code: probe.exit_code,
            output: &probe.output,
        });
        Self { status: health.status.as_str(), failing_streak: health.failing_streak, log: log.collect() }
    }
}

impl<'a> NetworkSettings<'a> {
    fn of(container: &'a Container) -> Self {
        let running = container.observation.status.is_running();
        // The flat fields tell of the default network, and only of it.
        let default = container.endpoints.iter().find(|e| running && e.network_name == "bridge");
        Self {
            bridge: "",
            sandbox_id: "",
            sandbox_key: "",
            ports: if running && !container.endpoints.is_empty() { ports(container) } else { BTreeMap::new() },
            hairpin_mode: false,
            link_local_ipv6_address: "",
            link_local_ipv6_prefix_len: 0,
            secondary_ip_addresses: None,
            secondary_ipv6_addresses: None,
            endpoint_id: default.map_or("", |e| &e.endpoint_id),
            gateway: default.map(|e| e.gateway.to_string()).unwrap_or_default(),
            global_ipv6_address: "",
            global_ipv6_prefix_len: 0,
            ip_address: default.map(|e| e.address.to_string()).unwrap_or_default(),
            ip_prefix_len: default.map_or(0, |e| e.subnet.prefix_len()),
            ipv6_gateway: "",
            mac_address: default.map_or("", |e| &e.mac),
            networks: Networks::new(&container.endpoints, container.name.as_str(), container.id.short(), running),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    host_ip: String,
    host_port: String,
}

fn ports(container: &Container) -> BTreeMap<String, Option<Vec<Binding>>> {
    let mut ports: BTreeMap<String, Option<Vec<Binding>>> =
        exposed(&container.docker_config).into_iter().map(|port| (port, None)).collect();
    for port in &container.ports {
        let key = format!("{}/{}", port.container_port, port.protocol.as_str());
        let binding = Binding { host_ip: port.address.to_string(), host_port: port.port.to_string() };
        ports.entry(key).or_default().get_or_insert_default().push(binding);
    }
    ports
}

/// `80/tcp` and so on, out of the stored `Config`.
fn exposed(docker_config: &RawValue) -> Vec<String> {
    #[derive(Deserialize)]
    struct Exposed {
        #[serde(rename = "ExposedPorts", default)]
        ports: Option<BTreeMap<String, IgnoredAny>>,
    }
    let exposed: Option<Exposed> = serde_json::from_str(docker_config.get()).ok();
    exposed.and_then(|e| e.ports).unwrap_or_default().into_keys().collect()
}
