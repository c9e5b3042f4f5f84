//! Against a real PostgreSQL (`DATABASE_URL`), a database for each test.

mod builds;
mod collect;
mod containers;
mod credentials;
mod events;
mod execs;
mod hosts;
mod images;
mod ingest;
mod ipv6;
mod networks;
mod ports;
mod quotas;
mod reservations;
mod updates;
mod volumes;

use std::{collections::BTreeMap, sync::atomic::AtomicU32};

use domain::{
    ContainerId, ContainerSpec, Digest, HostFacts, HostId, ImageRootfs, Layer, NewContainer, Observation, Resources,
    Signal, Status, TenantId, TenantRecord,
    spec::{DnsSettings, LogDriver, LogSpec, NetworkMode, NetworkWish, ProcessSpec, RestartPolicy},
};
use sqlx::PgPool;

use crate::Inventory;

pub(crate) const MIB: i64 = 1 << 20;
pub(crate) const POOL: &str = "172.16.0.0/12";

/// A data centre with one tenant and `hosts` equal hosts of 4 CPUs and 4 GiB.
pub(crate) struct World {
    pub(crate) inventory: Inventory,
    pub(crate) tenant: TenantRecord,
    pub(crate) hosts: Vec<HostId>,
}

impl World {
    pub(crate) async fn new(pool: PgPool, hosts: usize) -> Self {
        // With the settings that production has, and more connections than sqlx gives a test.
        let inventory = Inventory::open((*pool.connect_options()).clone(), 20).await.unwrap();
        let tenant = inventory.create_tenant("demo", POOL.parse().unwrap()).await.unwrap();
        let mut ids = Vec::new();
        for n in 0..hosts {
            let id = HostId::random();
            inventory.register_host(id, &format!("h{n}"), &facts(4000, 4096 * MIB)).await.unwrap();
            ids.push(id);
        }
        Self { inventory, tenant, hosts: ids }
    }

    pub(crate) fn view(&self) -> crate::TenantView {
        self.inventory.tenant(self.tenant.id)
    }

    /// 100 MiB and a tenth of a CPU, on the default network.
    pub(crate) fn new_container(&self, name: &str) -> NewContainer {
        new_container(self.tenant.id, name)
    }

    pub(crate) async fn place(&self, name: &str) -> ContainerId {
        let new = self.new_container(name);
        self.inventory.reserve(&new, self.hosts[0]).await.unwrap();
        new.id
    }
}

pub(crate) fn facts(cpu_millis: i64, memory_bytes: i64) -> HostFacts {
    HostFacts {
        endpoint: "https://10.0.0.1:7000".into(),
        underlay_address: "10.0.0.1".parse().unwrap(),
        underlay_mtu: 1500,
        shared_volumes: false,
        volume_quotas: false,
        cgroup_version: 2,
        cpu_millis,
        memory_bytes,
        kernel_version: "6.1.0".into(),
        architecture: "amd64".into(),
        operating_system: "linux".into(),
        labels: BTreeMap::from([("zone".into(), "a".into())]),
    }
}

pub(crate) fn layer(n: u8) -> Layer {
    Layer {
        digest: Digest::of(&[n, 0]),
        diff_id: Digest::of(&[n, 1]),
        size_bytes: 1000 + u64::from(n),
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
    }
}

pub(crate) fn new_container(tenant: TenantId, name: &str) -> NewContainer {
    static CREATED: AtomicU32 = AtomicU32::new(0);
    let count = CREATED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    NewContainer {
        tenant,
        id: ContainerId::random(),
        name: name.parse().unwrap(),
        name_generated: false,
        image_reference: "busybox".into(),
        command: "\"sh\"".into(),
        network_mode: "bridge".into(),
        spec: spec(100, 100 * MIB),
        volumes: vec![],
        labels: BTreeMap::from([("role".into(), "web".into())]),
        constraints: vec![],
        affinities: vec![],
        docker_config: raw(r#"{"Image":"busybox",  "Env":["A=1"]}"#),
        docker_host_config: raw(r#"{"NetworkMode":"bridge"}"#),
        created_at: chrono::DateTime::from_timestamp(1_700_000_000 + i64::from(count), 0).unwrap(),
    }
}

fn raw(json: &str) -> Box<serde_json::value::RawValue> {
    serde_json::value::RawValue::from_string(json.into()).unwrap()
}

pub(crate) fn wish(network: &str) -> NetworkWish {
    NetworkWish { network: network.into(), aliases: vec!["db".into()], ipv4: None, ipv6: None, mac: None }
}

fn spec(cpu_millis: i64, memory_bytes: i64) -> ContainerSpec {
    ContainerSpec {
        image: ImageRootfs { image_id: Digest::of(b"config"), layers: vec![layer(1), layer(2)] },
        process: ProcessSpec {
            args: vec!["sh".into()],
            env: vec![],
            cwd: "/".into(),
            user: String::new(),
            group_add: vec![],
            tty: false,
            console_height: 0,
            console_width: 0,
            capabilities: vec![],
            no_new_privileges: false,
            rlimits: vec![],
            oom_score_adj: 0,
        },
        hostname: "h".into(),
        domainname: String::new(),
        stdin_open: false,
        stdin_once: false,
        rootfs_readonly: false,
        init: false,
        resources: Resources {
            memory_bytes,
            memory_reservation_bytes: 0,
            cpu_millis,
            cpu_period_us: 100_000,
            cpu_quota_us: 10_000,
            cpu_shares: 1024,
            pids_limit: 100,
            blkio_weight: 0,
        },
        shm_bytes: 64 * MIB,
        tmpfs: vec![],
        volumes: vec![],
        sysctls: BTreeMap::new(),
        network: NetworkMode::Tenant(vec![wish("default")]),
        dns: DnsSettings::default(),
        extra_hosts: vec![],
        ports: vec![],
        log: LogSpec {
            driver: LogDriver::JsonFile,
            max_size_bytes: 1 << 20,
            max_files: 2,
            attributes: BTreeMap::new(),
        },
        stop_signal: Signal::TERM,
        stop_timeout_s: 10,
        restart: RestartPolicy::No,
        auto_remove: false,
        health: None,
    }
}

pub(crate) fn observed(tenant: TenantId, container: &ContainerId, generation: u64, status: Status) -> Observation {
    Observation {
        tenant,
        container: container.clone(),
        generation,
        status,
        removed: false,
        pid: if status.is_running() { 42 } else { 0 },
        exit_code: 0,
        oom_killed: false,
        error: String::new(),
        started_at: None,
        finished_at: None,
        restart_count: 0,
        health: None,
        size_rw_bytes: None,
        happenings: Vec::new(),
    }
}
