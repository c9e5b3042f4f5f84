//! Whatever comes in, what is accepted is inside the package and the sandbox.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -2i64..3, Just(6 << 20), Just(1 << 30), Just(100_000)]
}

/// Hostile and honest values of every JSON type that a field may have.
fn value() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec![
        "",
        "host",
        "private",
        "container:x",
        "/",
        "/etc",
        "../..",
        "a",
        "a:b",
        "v:/x",
        "ALL",
        "CHOWN",
        "0",
        "1000",
        "runc",
        "none",
        "bridge",
        "a=b",
        "a\0",
        "\n",
        "127.0.0.1",
        "size=1m",
        "json-file",
        "SIGKILL",
        "80/tcp",
    ]);
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number().prop_map(Value::from),
        text.clone().prop_map(Value::from),
        prop::collection::vec(text.clone(), 0..3).prop_map(Value::from),
        (text.clone(), text).prop_map(|(k, v)| json!({ k: v })),
    ]
}

fn fields(names: &'static [&'static str], numbers: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let any = prop::collection::btree_map(prop::sample::select(names), value(), 0..3);
    let sizes = prop::collection::btree_map(prop::sample::select(numbers), number().prop_map(Value::from), 0..4);
    (any, sizes).prop_map(|(mut all, sizes)| {
        all.extend(sizes);
        json!(all)
    })
}

const NUMBERS: &[&str] = &[
    "CpuPeriod",
    "CpuQuota",
    "CpuShares",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "NanoCpus",
    "OomScoreAdj",
    "PidsLimit",
    "ShmSize",
];
const HOST: &[&str] = &[
    "Binds",
    "CapAdd",
    "CapDrop",
    "CpuPeriod",
    "CpuQuota",
    "CpuShares",
    "Dns",
    "ExtraHosts",
    "GroupAdd",
    "Init",
    "IpcMode",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "NanoCpus",
    "NetworkMode",
    "OomScoreAdj",
    "PidMode",
    "PidsLimit",
    "PortBindings",
    "Privileged",
    "PublishAllPorts",
    "ReadonlyRootfs",
    "Runtime",
    "SecurityOpt",
    "ShmSize",
    "Sysctls",
    "Tmpfs",
    "UsernsMode",
    "VolumesFrom",
];
const BODY: &[&str] = &[
    "Cmd",
    "Domainname",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Hostname",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "User",
    "Volumes",
    "WorkingDir",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_accepted_leaves_the_package(mut body in fields(BODY, &["StopTimeout"]), host in fields(HOST, NUMBERS)) {
        body["HostConfig"] = host;
        let Ok(a) = with_image(IMAGE, &body.to_string()) else { return Ok(()) };
        let package = Package::standard();
        let got = &a.spec.resources;
        prop_assert!((1..=package.memory_max_bytes).contains(&got.memory_bytes));
        prop_assert!((1..=package.cpu_max_millis).contains(&got.cpu_millis));
        prop_assert!((1..=package.pids_max).contains(&got.pids_limit));
        prop_assert!(got.memory_reservation_bytes <= got.memory_bytes && a.spec.shm_bytes <= got.memory_bytes / 2);
        let period = i64::try_from(got.cpu_period_us).expect("period");
        prop_assert!(got.cpu_quota_us <= package.cpu_max_millis * period / 1000);
        prop_assert!(a.spec.process.capabilities.iter().all(|c| capabilities::is_ever_allowed(c)));
        prop_assert!(a.spec.process.oom_score_adj >= 0 && !a.spec.process.args.is_empty());
        prop_assert!(a.spec.volumes.iter().all(|v| crate::names::is_object_name(&v.name)));
        prop_assert_ne!(a.host_config.privileged, Some(true));
        prop_assert!(docker_api::types::host_config_json(&a.host_config).is_ok());
    }
}
