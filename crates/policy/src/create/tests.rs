//! Whole bodies, as clients and attackers send them.

use std::collections::BTreeMap;

use docker_api::strict;
use domain::{ContainerId, Digest, ImageRootfs, RestartPolicy, spec::LogDriver};

use super::*;
use crate::{ImageFacts, Package};

mod hostile;
mod properties;

const IMAGE: &str = r#"{"config":{"Cmd":["sh"],"Env":["FOO=bar"],"Labels":{"cg":"1","com.wharfinger.system.x":"y"},
    "ExposedPorts":{"80/tcp":{}},"WorkingDir":"/tmp","Volumes":{"/var/data":{}},"StopSignal":"SIGINT"}}"#;

/// `Err` as the status that the frontend gives, and the message.
type Outcome = Result<Accepted, (u16, String)>;

pub(super) fn with_image(image: &str, body: &str) -> Outcome {
    let package = Package::standard();
    let rootfs = ImageRootfs { image_id: Digest::of(b"image"), layers: Vec::new() };
    let image = ImageFacts::read(rootfs, image.as_bytes()).expect("image");
    let id: ContainerId = "0123456789ab".repeat(6)[..64].parse().expect("id");
    let name = "web".parse().expect("name");
    let ctx = CreateContext {
        package: &package,
        image: &image,
        id: &id,
        name: &name,
        default_log: LogDriver::JsonFile,
        reserved_ports: &[22],
        volumes_from: &BTreeMap::new(),
    };
    let body = strict::parse(body.as_bytes()).map_err(|e| (400, e.to_string()))?;
    create(&ctx, body).map_err(|e| (status(&e), e.to_string()))
}

/// What a body that says nothing becomes.
pub(crate) fn plain() -> ContainerSpec {
    accept("{}").spec
}

fn status(error: &Error) -> u16 {
    match error {
        Error::Invalid(_) => 400,
        Error::Forbidden(_) => 403,
        Error::NotFound { .. } => 404,
        Error::Unsupported(_) => 501,
        _ => 500,
    }
}

fn accept(body: &str) -> Accepted {
    with_image(IMAGE, body).unwrap_or_else(|e| panic!("{body}: {e:?}"))
}

/// The warning about the image's reserved label is in each of these.
fn warnings(accepted: &Accepted) -> usize {
    accepted.warnings.len() - 1
}

#[test]
fn a_plain_run_of_the_cli() {
    let a = accept(
        r#"{"Hostname":"","AttachStdout":true,"AttachStderr":true,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,
        "Cmd":["echo","hello world"],"Image":"cgimg","Volumes":{},"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{},
        "HostConfig":{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},"NetworkMode":"default","PortBindings":{},
        "RestartPolicy":{"Name":"no","MaximumRetryCount":0},"AutoRemove":true,"ConsoleSize":[24,80],"CgroupnsMode":"","Dns":[],
        "OomScoreAdj":0,"MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],"MaskedPaths":null,
        "ReadonlyPaths":null,"Isolation":"","KernelMemory":0},"NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,
        "Links":null,"Aliases":null,"DriverOpts":null,"NetworkID":"","GwPriority":0,"DNSNames":null}}}}"#,
    );
    assert_eq!(a.spec.process.args, ["echo", "hello world"]);
    assert_eq!((a.command.as_str(), a.network_mode.as_str(), warnings(&a)), ("echo 'hello world'", "bridge", 0));
    assert_eq!(a.config.env.as_deref(), Some(&["FOO=bar".to_owned()][..]));
    assert_eq!(a.spec.process.env, [env::DEFAULT_PATH, "HOSTNAME=0123456789ab", "FOO=bar"]);
    assert_eq!((a.spec.process.cwd.as_str(), a.spec.hostname.as_str()), ("/tmp", "0123456789ab"));
    assert_eq!((a.spec.stop_signal.0, a.spec.stop_timeout_s, a.spec.auto_remove), (2, 10, true));
    assert_eq!(a.spec.process.capabilities.len(), 14);
    assert!(a.spec.volumes[0].anonymous && a.spec.volumes[0].target == "/var/data");
    assert_eq!(a.labels.keys().collect::<Vec<_>>(), ["cg"]);
}

#[test]
fn inspect_shows_what_was_chosen() {
    let a = accept(
        r#"{"HostConfig":{"Memory":16777216,"MemorySwap":16777216,"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":2}}}"#,
    );
    let json = docker_api::types::host_config_json(&a.host_config).expect("json");
    for (key, value) in [
        ("Memory", "16777216"),
        ("MemorySwap", "16777216"),
        ("NanoCpus", "1000000000"),
        ("PidsLimit", "4096"),
        ("NetworkMode", "\"bridge\""),
        ("ShmSize", "8388608"),
        ("Runtime", "\"runc\""),
        ("IpcMode", "\"private\""),
        ("RestartPolicy", r#"{"MaximumRetryCount":2,"Name":"on-failure"}"#),
        ("Privileged", "false"),
        ("Links", "null"),
        ("LogConfig", r#"{"Config":{},"Type":"json-file"}"#),
    ] {
        assert_eq!(json[key].to_string(), value, "{key}");
    }
    assert_eq!(a.spec.restart, RestartPolicy::OnFailure { max_retries: 2 });
    assert_eq!(warnings(&a), 0, "{:?}", a.warnings);
}

#[test]
fn the_options_of_docker_run() {
    let a = accept(
        r#"{"Cmd":"true","Tty":true,"OpenStdin":true,"StdinOnce":true,"User":"1234:4321","StopSignal":"USR1","StopTimeout":5,
        "Env":["A=1","constraint:zone==a","affinity:role!=~web"],
        "HostConfig":{"ShmSize":33554432,"Init":true,"ReadonlyRootfs":true,"Tmpfs":{"/t":"size=1m,mode=1777"},
        "Ulimits":[{"Name":"nofile","Soft":512,"Hard":1024}],"CapDrop":["ALL"],"CapAdd":["CHOWN"],"SecurityOpt":["no-new-privileges"],
        "Sysctls":{"net.ipv4.ip_forward":"1"},"ExtraHosts":["foo:10.9.8.7"],"Dns":["10.1.2.3"],"DnsSearch":["ex.org"],
        "PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]},"GroupAdd":["audio","7"],"OomScoreAdj":500,
        "LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}},"NanoCpus":500000000,"PidsLimit":50}}"#,
    );
    assert_eq!((a.spec.shm_bytes, a.spec.init, a.spec.rootfs_readonly), (33_554_432, true, true));
    assert_eq!(a.spec.process.capabilities, ["CAP_CHOWN"]);
    assert!(a.spec.process.no_new_privileges && a.spec.process.env.contains(&"TERM=xterm".to_owned()));
    assert_eq!((a.spec.resources.cpu_millis, a.spec.resources.pids_limit), (500, 50));
    assert_eq!((a.constraints, a.affinities), (vec!["zone==a".to_owned()], vec!["role!=~web".to_owned()]));
    assert_eq!(a.config.env, Some(vec!["A=1".to_owned(), "FOO=bar".to_owned()]));
    assert_eq!(a.labels["com.docker.swarm.constraints"], r#"["zone==a"]"#);
    assert_eq!(
        (a.spec.ports.len(), a.spec.ports[0].protocol, a.spec.log.max_size_bytes),
        (1, domain::Protocol::Tcp, 1 << 20)
    );
    assert_eq!(a.warnings.len(), 1, "{:?}", a.warnings);
}

#[test]
fn clamps_are_said() {
    let a = accept(r#"{"StopTimeout":100000,"HostConfig":{"ShmSize":99999999999,"PidsLimit":99999}}"#);
    assert_eq!((warnings(&a), a.spec.stop_timeout_s, a.spec.shm_bytes), (3, 600, 256 << 20));
}

#[test]
fn an_image_is_checked_as_a_request_is() {
    for config in [
        r#"{"User":"65536"}"#,
        r#"{"WorkingDir":"/proc/self/fd/7"}"#,
        r#"{"Volumes":{"/proc":{}}}"#,
        r#"{"ExposedPorts":{"x":{}}}"#,
        r#"{"StopSignal":"BOGUS"}"#,
        r#"{"Healthcheck":{"Test":["CMD","x"],"Interval":1}}"#,
        r#"{"Env":["=x"]}"#,
    ] {
        let outcome = with_image(&format!(r#"{{"config":{config}}}"#), r#"{"Cmd":["x"]}"#);
        assert!(matches!(outcome, Err((400, _))), "{config}: {:?}", outcome.err());
    }
    assert_eq!(with_image("{}", "{}").expect_err("no command"), (400, "no command specified".to_owned()));
    assert!(with_image(r#"{"config":null}"#, r#"{"Cmd":["x"]}"#).is_ok());
}
