use serde_json::{Value, json};

use super::*;

fn rules() -> Rules {
    Rules {
        uid_base: 165_536,
        mount_sources: vec!["/var/lib/w/c".into(), "/usr/lib/w".into()],
        namespaces: vec!["/run/w/ns".into()],
        cgroup: "/w/tenant".into(),
    }
}

fn legal() -> Value {
    let caps = ["CAP_CHOWN", "CAP_SYS_PTRACE"];
    let map = json!([{"containerID": 0, "hostID": 165_536, "size": 65_536}]);
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "h",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
            {"destination": "/etc/hosts", "type": "bind", "source": "/var/lib/w/c/hosts", "options": ["rbind", "rprivate"]}
        ],
        "process": {
            "terminal": false, "user": {"uid": 1000, "gid": 1000, "additionalGids": [5]}, "args": ["sh"], "env": ["A=1"], "cwd": "/",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps}, "noNewPrivileges": false, "oomScoreAdj": 0,
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 10, "soft": 10}]
        },
        "linux": {
            "uidMappings": map, "gidMappings": map, "cgroupsPath": "/w/tenant/id", "maskedPaths": MASKED_PATHS,
            "readonlyPaths": READONLY_PATHS, "sysctl": {"kernel.shm_rmid_forced": "1"}, "devices": [],
            "namespaces": [
                {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"},
                {"type": "user", "path": "/run/w/ns/user"}, {"type": "network", "path": "/run/w/ns/net"}
            ],
            "resources": {
                "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}],
                "memory": {"limit": 1_000_000, "swap": 1_000_000}, "cpu": {"shares": 1024, "quota": 1, "period": 2},
                "pids": {"limit": 5}, "blockIO": {"weight": 100}
            },
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}
        }
    })
}

fn verdict(json: &Value) -> Result<()> {
    let spec: Spec = serde_json::from_value(json.clone()).expect("an OCI spec");
    check(&spec, &rules())
}

#[test]
fn a_spec_of_ours_passes() {
    if let Err(e) = verdict(&legal()) {
        panic!("{}", e.operator_text());
    }
}

/// JSON pointer and the value put there; an index beyond the end appends.
fn hostile() -> Vec<(&'static str, Value)> {
    vec![
        ("/hooks", json!({"prestart": [{"path": "/bin/sh"}]})),
        ("/annotations", json!({"run.oci.hooks.stdout": "x"})),
        ("/root/path", json!("/")),
        ("/root/path", json!("../../etc")),
        ("/mounts/4/source", json!("/etc/shadow")),
        ("/mounts/4/source", json!("/var/lib/w/c/../../../etc")),
        ("/mounts/4/source", json!("/var/lib/w/c")),
        ("/mounts/4/source", json!("/var/lib/w/cc/x")),
        ("/mounts/4/options", json!(["rbind", "rshared"])),
        ("/mounts/4/type", json!("overlay")),
        ("/mounts/4/destination", json!("/")),
        ("/mounts/1/options", json!(["rw"])),
        ("/mounts/0/destination", json!("/proc2")),
        ("/mounts/3", json!({"destination": "/x", "type": "tmpfs", "source": "/etc", "options": ["bind"]})),
        ("/process/capabilities/bounding", json!(["CAP_SYS_ADMIN"])),
        ("/process/capabilities/ambient", json!(["CAP_NET_ADMIN"])),
        ("/process/capabilities", Value::Null),
        ("/process/user/uid", json!(65_536)),
        ("/process/user/additionalGids", json!([70_000])),
        ("/process/cwd", json!("/proc/self/fd/7")),
        ("/process/oomScoreAdj", json!(-1)),
        ("/process/apparmorProfile", json!("unconfined")),
        ("/process/args", json!([])),
        ("/linux/uidMappings", json!([{"containerID": 0, "hostID": 0, "size": 65_536}])),
        ("/linux/gidMappings", json!([{"containerID": 0, "hostID": 165_536, "size": 4_294_967_295u32}])),
        ("/linux/gidMappings", json!([])),
        ("/linux/cgroupsPath", json!("/w/other/id")),
        ("/linux/cgroupsPath", json!("/w/tenant/../other")),
        ("/linux/cgroupsPath", json!("/w/tenant")),
        ("/linux/maskedPaths", json!([])),
        ("/linux/readonlyPaths", json!(["/proc/bus"])),
        ("/linux/sysctl", json!({"kernel.core_pattern": "|/x"})),
        ("/linux/devices", json!([{"path": "/dev/sda", "type": "b", "major": 8, "minor": 0}])),
        ("/linux/rootfsPropagation", json!("shared")),
        ("/linux/intelRdt", json!({"closID": "x"})),
        ("/linux/namespaces/0", json!({"type": "pid", "path": "/proc/1/ns/pid"})),
        ("/linux/namespaces/5", json!({"type": "user", "path": "/proc/1/ns/user"})),
        ("/linux/namespaces/6", json!({"type": "uts"})),
        ("/linux/namespaces/4", json!({"type": "time"})),
        ("/linux/seccomp", Value::Null),
        ("/linux/seccomp/defaultAction", json!("SCMP_ACT_ALLOW")),
        ("/linux/seccomp/listenerPath", json!("/x")),
        ("/linux/resources/memory", json!({"limit": -1})),
        ("/linux/resources/memory/disableOOMKiller", json!(true)),
        ("/linux/resources/pids", Value::Null),
        ("/linux/resources/unified", json!({"memory.max": "max"})),
        ("/linux/resources/cpu/cpus", json!("0")),
        ("/linux/resources/devices", json!([{"allow": true, "access": "rwm"}])),
        ("/linux/resources/devices", json!([{"allow": true, "type": "b", "major": 8, "minor": 0, "access": "r"}])),
    ]
}

#[test]
fn each_hostile_change_is_caught() {
    for (pointer, value) in hostile() {
        let mut spec = legal();
        let (parent, key) = pointer.rsplit_once('/').expect("pointer");
        match spec.pointer_mut(parent).expect("parent") {
            Value::Object(map) if value.is_null() => drop(map.remove(key)),
            Value::Object(map) => drop(map.insert(key.to_owned(), value.clone())),
            Value::Array(items) => items[key.parse::<usize>().expect("index")] = value.clone(),
            other => panic!("{other}"),
        }
        let refusal = verdict(&spec).expect_err(pointer);
        assert!(refusal.operator_text().starts_with("the OCI spec was refused: "), "{pointer} {value}");
        assert_eq!(refusal.to_string(), "internal error");
    }
}
