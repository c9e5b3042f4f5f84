//! Over the PostgreSQL of `DATABASE_URL`. Tests share its hosts, so each works on a pool of its own, by a label.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ContainerId, HostFacts, NewContainer};
use futures::future::join_all;
use inventory::Inventory;

use super::*;

struct World {
    placer: Placer,
    inventory: Inventory,
    tenant: TenantId,
    pool: String,
}

impl World {
    async fn new(hosts: usize) -> Self {
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL for tests");
        let inventory = Inventory::connect(&url, 10).await.unwrap();
        inventory.migrate().await.unwrap();
        let pool = uuid::Uuid::new_v4().to_string();
        for n in 0..hosts {
            let facts = HostFacts {
                endpoint: "https://10.0.0.1:7000".into(),
                underlay_address: "10.0.0.1".parse().unwrap(),
                underlay_mtu: 1500,
                shared_volumes: false,
                volume_quotas: false,
                cgroup_version: 2,
                cpu_millis: 4000,
                memory_bytes: 4 << 30,
                kernel_version: "6.1".into(),
                architecture: "amd64".into(),
                operating_system: "Debian".into(),
                labels: BTreeMap::from([("pool".into(), pool.clone()), ("zone".into(), format!("z{n}"))]),
            };
            inventory.register_host(HostId::random(), &format!("{pool}-{n}"), &facts).await.unwrap();
        }
        let tenant = inventory.create_tenant(&format!("t-{pool}"), "172.16.0.0/12".parse().unwrap()).await.unwrap().id;
        let placer = Placer::new(inventory.clone(), Snapshot::load(&inventory).await.unwrap());
        Self { placer, inventory, tenant, pool }
    }

    fn new_container(&self, name: &str, affinities: &[&str]) -> NewContainer {
        let mut new: NewContainer = serde_json::from_str(NEW).unwrap();
        new.tenant = self.tenant;
        new.id = ContainerId::random();
        new.name = name.parse().unwrap();
        new.constraints = vec![format!("pool=={}", self.pool)];
        new.affinities = affinities.iter().map(ToString::to_string).collect();
        new
    }

    async fn place(&self, name: &str, affinities: &[&str]) -> Result<HostId> {
        self.placer.place(&self.new_container(name, affinities), "test").await.map(|p| p.reserved.host.id)
    }
}

/// 500 thousandths of a CPU and 256 MiB, with the label `role=web`.
const NEW: &str = r#"{
    "tenant": "00000000-0000-0000-0000-000000000000",
    "id": "0000000000000000000000000000000000000000000000000000000000000000",
    "name": "xx", "name_generated": false, "image_reference": "busybox", "command": "sh", "network_mode": "bridge",
    "spec": {
        "image": {
            "image_id": "sha256:0000000000000000000000000000000000000000000000000000000000000000", "layers": []
        },
        "process": {
            "args": ["sh"], "env": [], "cwd": "/", "user": "", "group_add": [], "tty": false, "console_height": 0,
            "console_width": 0, "capabilities": [], "no_new_privileges": false, "rlimits": [], "oom_score_adj": 0
        },
        "hostname": "h", "domainname": "", "stdin_open": false, "stdin_once": false, "rootfs_readonly": false,
        "init": false,
        "resources": {
            "memory_bytes": 268435456, "memory_reservation_bytes": 0, "cpu_millis": 500, "cpu_period_us": 100000,
            "cpu_quota_us": 50000, "cpu_shares": 1024, "pids_limit": 100, "blkio_weight": 0
        },
        "shm_bytes": 67108864, "tmpfs": [], "volumes": [], "sysctls": {},
        "network": {"tenant": [{"network": "bridge", "aliases": [], "ipv4": null, "mac": null}]},
        "dns": {"servers": [], "search": [], "options": []}, "extra_hosts": [],
        "log": {"driver": "json-file", "max_size_bytes": 1048576, "max_files": 1, "attributes": {}},
        "stop_signal": 15, "stop_timeout_s": 10, "restart": "no", "auto_remove": false, "health": null
    },
    "labels": {"role": "web"}, "constraints": [], "affinities": [], "docker_config": {}, "docker_host_config": {},
    "created_at": "2025-01-01T00:00:00Z"
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_repel_each_other_never_share_a_host() {
    let world = World::new(3).await;
    // Two schedulers.
    let other = Placer::new(world.inventory.clone(), Snapshot::load(&world.inventory).await.unwrap());
    let wanted: Vec<_> = (0..12).map(|n| world.new_container(&format!("c{n}"), &["role!=web"])).collect();
    let placers = [&world.placer, &other];
    let outcomes = join_all(wanted.iter().enumerate().map(|(n, new)| placers[n % 2].place(new, "test"))).await;
    let hosts: Vec<_> = outcomes.iter().flatten().map(|p| p.reserved.host.id).collect();
    assert_eq!((hosts.len(), hosts.iter().collect::<BTreeSet<_>>().len()), (3, 3));
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(error.to_string(), "no host satisfies the affinity role!=web");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_data_centre_is_filled_to_the_brim_by_racing_creates() {
    let world = World::new(3).await;
    // Room for eight on each host, by CPU.
    let wanted: Vec<_> = (0..30).map(|n| world.new_container(&format!("c{n}"), &[])).collect();
    let outcomes = join_all(wanted.iter().map(|new| world.placer.place(new, "test"))).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 24);
    let text = format!("no host that satisfies the constraint pool=={} has 0.5 free CPUs", world.pool);
    assert!(outcomes.into_iter().filter_map(Result::err).all(|e| e.to_string() == text));
    let freed = &world.inventory.tenant(world.tenant).containers().await.unwrap()[0];
    assert!(world.inventory.tenant(world.tenant).forget(&freed.id).await.unwrap());
    // The snapshot still says full: it is asked again before anything is refused.
    assert_eq!(world.place("again", &[]).await.unwrap(), freed.host);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_containers_go_to_different_hosts_and_attract_each_other_on_wish() {
    let world = World::new(3).await;
    let mut hosts = BTreeSet::new();
    for name in ["c0", "c1", "c2"] {
        hosts.insert(world.place(name, &[]).await.unwrap());
    }
    assert_eq!(hosts.len(), 3);
    let first = world.inventory.tenant(world.tenant).container("c0").await.unwrap().host;
    assert_eq!(world.place("near", &["container==c0"]).await.unwrap(), first);
    let refused = world.place("nobody", &["container==absent"]).await.unwrap_err();
    assert_eq!(refused.to_string(), "no host satisfies the affinity container==absent");
    let taken = world.place("near", &["container==c0"]).await.unwrap_err();
    assert!(taken.to_string().starts_with("Conflict. The container name \"/near\" is already in use"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placement_that_is_asked_for_again_is_the_same() {
    let world = World::new(3).await;
    for affinities in [&[][..], &["role!=~web"]] {
        let new = world.new_container(&format!("c{}", affinities.len()), affinities);
        let first = world.placer.place(&new, "test").await.unwrap().reserved;
        let again = world.placer.place(&new, "test").await.unwrap().reserved;
        assert_eq!((first.host.id, first.endpoints), (again.host.id, again.endpoints));
    }
}
