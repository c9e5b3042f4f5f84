//! Strict JSON: what it takes, every other reader takes in the same meaning.

use docker_api::{strict, types::ContainerConfig};

pub const SEEDS: &[&[u8]] = &[
    br#"{"Image":"busybox","Cmd":["true"],"Labels":{"a":"b"}}"#,
    br#"{"a":1,"a":2}"#,
    br#"[[[[[[[[1e400]]]]]]]]"#,
    br#"{"Env":["A=\ud800"],"x":null} "#,
    br#"{"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Interval":1000000000}}"#,
];

pub fn run(data: &[u8]) {
    if let Ok(value) = strict::value(data) {
        let plain: serde_json::Value = serde_json::from_slice(data).expect("strict JSON is JSON");
        assert_eq!(plain, value);
    }
    let _ = strict::parse::<ContainerConfig>(data);
}
