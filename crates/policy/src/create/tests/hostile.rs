//! One refused field each, beside a body that is accepted without it.

use super::*;

/// Into `HostConfig`, and the status.
const HOST: &[(&str, u16)] = &[
    (r#""Privileged":true"#, 403),
    (r#""CapAdd":["all"]"#, 403),
    (r#""CapAdd":["CAP_SYS_ADMIN"]"#, 403),
    (r#""CapAdd":["CAP_DOES_NOT_EXIST"]"#, 400),
    (r#""SecurityOpt":["seccomp=unconfined"]"#, 403),
    (r#""SecurityOpt":["apparmor:unconfined"]"#, 403),
    (r#""SecurityOpt":["label:disable"]"#, 403),
    (r#""SecurityOpt":["no-new-privileges=false"]"#, 403),
    (r#""SecurityOpt":["systempaths=unconfined"]"#, 403),
    (r#""MaskedPaths":[]"#, 403),
    (r#""ReadonlyPaths":[]"#, 403),
    (r#""CgroupParent":"/""#, 403),
    (r#""CgroupParent":"../../system.slice""#, 403),
    (r#""Cgroup":"container:x""#, 403),
    (r#""Runtime":"/bin/sh""#, 403),
    (r#""Runtime":"runc\u0000""#, 403),
    (r#""Isolation":"hyperv""#, 400),
    (r#""Sysctls":{"kernel.core_pattern":"1"}"#, 403),
    (r#""Sysctls":{"net/core/bpf_jit_enable":"1"}"#, 403),
    (r#""Annotations":{"run.oci.hooks.stdout":"x"}"#, 403),
    (r#""PidMode":"host""#, 403),
    (r#""PidMode":"HOST""#, 400),
    (r#""PidMode":"container:""#, 400),
    (r#""PidMode":"container:x""#, 501),
    (r#""IpcMode":"host""#, 403),
    (r#""UTSMode":"host""#, 403),
    (r#""UsernsMode":"host""#, 403),
    (r#""CgroupnsMode":"host""#, 403),
    (r#""NetworkMode":"host""#, 403),
    (r#""NetworkMode":"container:x""#, 501),
    (r#""NetworkMode":"ns:/proc/1/ns/net""#, 404),
    (r#""Devices":[{"PathOnHost":"/dev/kmsg","PathInContainer":"/dev/kmsg","CgroupPermissions":"rwm"}]"#, 403),
    (r#""DeviceCgroupRules":["c 1:1 r"]"#, 403),
    (r#""DeviceRequests":[{"Driver":"cdi","DeviceIDs":["vendor.example/class=all"]}]"#, 403),
    (r#""OomScoreAdj":-1000"#, 403),
    (r#""OomKillDisable":true"#, 403),
    (r#""Memory":-1"#, 400),
    (r#""Memory":9223372036854775807"#, 403),
    (r#""NanoCpus":9000000000000000000"#, 403),
    (r#""CpuQuota":-5"#, 400),
    (r#""CpusetMems":"0-63""#, 403),
    (r#""CpuRealtimeRuntime":1"#, 403),
    (r#""CpuCount":64"#, 400),
    (r#""KernelMemory":1"#, 400),
    (r#""BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":1}]"#, 403),
    (r#""BlkioWeightDevice":[{"Path":"/nonexistent","Weight":10}]"#, 403),
    (r#""Ulimits":[{"Name":"rtprio","Soft":99,"Hard":99}]"#, 403),
    (r#""ShmSize":-1"#, 400),
    (r#""StorageOpt":{"dm.basesize":"1T"}"#, 400),
    (r#""StorageOpt":{"size":"-1"}"#, 400),
    (r#""StorageOpt":{"size":"1G"}"#, 501),
    (r#""RestartPolicy":{"Name":"always"},"AutoRemove":true"#, 400),
    (r#""RestartPolicy":{"Name":"bogus"}"#, 400),
    (r#""LogConfig":{"Type":"syslog","Config":{"syslog-tls-key":"/root/.ssh/id_rsa"}}"#, 403),
    (r#""LogConfig":{"Type":"../../plugin"}"#, 400),
    (r#""Binds":["/:/host"]"#, 403),
    (r#""Mounts":[{"Type":"bind","Source":"/var","Target":"/v"}]"#, 403),
    (r#""Mounts":[{"Type":"glob","Source":"/*","Target":"/v"}]"#, 400),
    (r#""VolumesFrom":["x"]"#, 501),
    (r#""VolumeDriver":"rexray""#, 403),
    (r#""Tmpfs":{"/run":"size=100g,exec,suid,dev,nr_inodes=0"}"#, 400),
    (r#""Links":["x:a b"]"#, 400),
    (r#""ContainerIDFile":"/x\u0000y""#, 400),
    (r#""ConsoleSize":[1001,1]"#, 400),
    (r#""PortBindings":{"80/tcp":[{"HostIp":"10.0.0.1"}]}"#, 403),
    (r#""PortBindings":{"80/tcp":[{"HostIp":"::","HostPort":"22"}]}"#, 403),
    (r#""PortBindings":{"80/tcp":[{"HostPort":"1-65535"}]}"#, 400),
    (r#""ExtraHosts":["x:host-gateway"]"#, 403),
    (r#""Dns":["not-an-ip"]"#, 400),
    (r#""FutureDangerousField":true"#, 400),
    (r#""privileged":true"#, 400),
];

/// Into the body.
const BODY: &[(&str, u16)] = &[
    (r#""Labels":{"com.wharfinger.system.tenant":"x"}"#, 400),
    (r#""Labels":{"com.docker.swarm.constraints":"zone==a"}"#, 400),
    (r#""User":"2147483648:2147483648""#, 400),
    (r#""User":"root\n0:0""#, 400),
    (r#""WorkingDir":"/proc/1/root""#, 400),
    (r#""WorkingDir":"/a\u0000b""#, 400),
    (r#""WorkingDir":"a""#, 400),
    (r#""Hostname":"a\nnameserver 10.0.0.1""#, 400),
    (r#""Domainname":"a b\n""#, 400),
    (r#""Env":["=x"]"#, 400),
    (r#""Env":["NOEQ\n"]"#, 400),
    (r#""Env":["constraint:zone"]"#, 400),
    (r#""Entrypoint":["a\u0000"]"#, 400),
    (r#""Healthcheck":{"Test":["CMD","true"],"Interval":1}"#, 400),
    (r#""Healthcheck":{"Test":["CMD","true"],"Retries":-1}"#, 400),
    (r#""StopSignal":"BOGUS""#, 400),
    (r#""Volumes":{"/../etc":{}}"#, 400),
    (r#""Volumes":{"/":{}}"#, 400),
    (r#""ExposedPorts":{"0/tcp":{}}"#, 400),
    (r#""MacAddress":"01:00:5e:00:00:01""#, 400),
    (r#""Capabilities":["ALL"]"#, 400),
    (r#""NetworkingConfig":{"EndpointsConfig":{"host":{}}}"#, 403),
];

fn outcome(body: &str) -> u16 {
    match with_image(IMAGE, body) {
        Ok(_) => 201,
        Err((status, message)) => {
            assert!(!message.is_empty() && !message.contains('\0'), "{message:?}");
            status
        }
    }
}

#[test]
fn every_attack_is_refused_with_its_status() {
    assert_eq!(outcome(r#"{"Cmd":["true"],"HostConfig":{}}"#), 201, "the control");
    for (field, status) in HOST {
        assert_eq!(outcome(&format!(r#"{{"Cmd":["true"],"HostConfig":{{{field}}}}}"#)), *status, "{field}");
    }
    for (field, status) in BODY {
        assert_eq!(outcome(&format!(r#"{{"Cmd":["true"],{field},"HostConfig":{{}}}}"#)), *status, "{field}");
    }
}

#[test]
fn a_refusal_of_policy_names_field_and_rule() {
    for (field, status) in HOST.iter().filter(|(_, status)| *status == 403) {
        let body = format!(r#"{{"Cmd":["true"],"HostConfig":{{{field}}}}}"#);
        let (_, message) = with_image(IMAGE, &body).expect_err(field);
        let name = field.split('"').nth(1).expect("name");
        assert!(message.contains(&format!("HostConfig.{name}")) && message.contains("(policy "), "{status} {message}");
    }
}
