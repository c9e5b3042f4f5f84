//! `GET /info`: the tenant's data centre as one Docker host. Counts and quotas, no names and no paths of hosts.

use std::{
    collections::BTreeSet,
    sync::Mutex,
    time::{Duration, Instant},
};

use axum::extract::State;
use chrono::Utc;
use domain::{Host, HostState, Result};
use inventory::Usage;
use serde_json::{Value, json};

use super::version::VERSION;
use crate::{error::Answer, extract::Caller, json as answer, state::App};

/// The data centre changes slowly; its hosts are not counted for each caller.
const FRESH: Duration = Duration::from_secs(5);

/// What all hosts have together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capacity {
    cpu_millis: i64,
    memory_bytes: i64,
    /// The oldest that a host has; 0 without hosts.
    cgroup_version: u32,
    /// `zone=a` and so on, that the operator exposes.
    labels: BTreeSet<String>,
}

/// Kept in the frontend's state.
#[derive(Debug, Default)]
pub(crate) struct KnownCapacity(Mutex<Option<(Instant, Capacity)>>);

impl KnownCapacity {
    async fn get(&self, app: &App) -> Result<Capacity> {
        if let Some(known) = self.kept() {
            return Ok(known);
        }
        let capacity = Capacity::of(&app.inventory.hosts().await?);
        let mut slot = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *slot = Some((Instant::now(), capacity.clone()));
        Ok(capacity)
    }

    fn kept(&self) -> Option<Capacity> {
        let slot = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, capacity)| capacity.clone())
    }
}

impl Capacity {
    fn of(hosts: &[Host]) -> Self {
        let now = Utc::now();
        let mut capacity = Self::default();
        for host in hosts.iter().filter(|h| h.state == HostState::Active && h.is_reachable(now)) {
            capacity.cpu_millis += host.facts.cpu_millis;
            capacity.memory_bytes += host.facts.memory_bytes;
            let version = host.facts.cgroup_version;
            capacity.cgroup_version = match capacity.cgroup_version {
                0 => version,
                known => known.min(version),
            };
            capacity.labels.extend(host.facts.labels.iter().map(|(k, v)| format!("{k}={v}")));
        }
        capacity
    }
}

pub(crate) async fn info(State(app): State<App>, caller: Caller) -> Answer {
    let rows = app.rows(&caller.tenant);
    let (usage, tenant, capacity) = futures::try_join!(rows.usage(), rows.record(), app.capacity.get(&app))?;
    let cpu_millis = tenant.cpu_quota_millis.unwrap_or(capacity.cpu_millis);
    let memory_bytes = tenant.memory_quota_bytes.unwrap_or(capacity.memory_bytes);
    let labels: Vec<&String> = capacity.labels.iter().collect();
    let mut body = fixed(&app);
    let varying = json!({
        "ID": tenant.id,
        "Name": tenant.name,
        "NCPU": (cpu_millis + 999) / 1000,
        "MemTotal": memory_bytes,
        "Labels": labels,
        "CgroupVersion": capacity.cgroup_version.max(1).to_string(),
        "SystemTime": docker_api::time::rfc3339nano(Utc::now()),
        "SystemStatus": [["Tenant", tenant.name], ["Package", policy::Package::standard().name]],
    });
    for part in [varying, counts(&usage)] {
        if let (Value::Object(body), Value::Object(part)) = (&mut body, part) {
            body.extend(part);
        }
    }
    Ok(answer::ok(&body))
}

fn counts(usage: &Usage) -> Value {
    json!({
        "Containers": usage.containers,
        "ContainersRunning": usage.running,
        "ContainersPaused": usage.paused,
        "ContainersStopped": usage.stopped,
        "Images": usage.images,
    })
}

/// What every tenant sees alike.
fn fixed(app: &App) -> Value {
    json!({
        "OperatingSystem": format!("Wharfinger {VERSION}"),
        "OSVersion": VERSION,
        "OSType": "linux",
        "Architecture": std::env::consts::ARCH,
        "KernelVersion": "",
        "ServerVersion": VERSION,
        "Driver": "overlayfs",
        "DriverStatus": [],
        "Plugins": { "Volume": ["local"], "Network": ["bridge", "none"], "Authorization": null, "Log": ["json-file", "local", "none"] },
        "MemoryLimit": true,
        "SwapLimit": false,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": false,
        "PidsLimit": true,
        "IPv4Forwarding": true,
        "Debug": false,
        "NFd": 0,
        "NGoroutines": 0,
        "NEventsListener": 0,
        "OomKillDisable": false,
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "IndexConfigs": {},
            "InsecureRegistryCIDRs": [],
            "Mirrors": app.config.registry_mirrors,
        },
        "GenericResources": null,
        "DockerRootDir": "",
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "ExperimentalBuild": false,
        "Runtimes": { "runc": { "path": "runc" } },
        "DefaultRuntime": "runc",
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "",
            "RemoteManagers": null,
        },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "docker-init",
        "ContainerdCommit": { "ID": "" },
        "RuncCommit": { "ID": "" },
        "InitCommit": { "ID": "" },
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=userns", "name=cgroupns"],
        "Warnings": null,
    })
}
