//! Hostile and broken requests: a clear Docker error, and nothing half-made.

use crate::system::Tenant;

#[test]
fn broken_bodies_are_400_and_big_ones_413() {
    let t = Tenant::new("bad");
    for body in ["{", "", "[]", r#"{"Image":"busybox"} x"#, r#"{"Image":"busybox","Image":"b"}"#, r#"{"Image":5}"#] {
        let (status, message) = t.refused("POST", "/containers/create", body);
        assert_eq!(status, 400, "{body}: {message}");
    }
    let big = format!(r#"{{"Image":"busybox","Cmd":["{}"]}}"#, "x".repeat(5 << 20));
    assert_eq!(t.refused("POST", "/containers/create", &big).0, 413);
    let deep = format!(r#"{{"Image":"busybox","Labels":{}1{}}}"#, r#"{"a":"#.repeat(100), "}".repeat(100));
    assert_eq!(t.refused("POST", "/containers/create", &deep).0, 400);
    assert_eq!(t.docker(&["ps", "-aq"]).ok(), "");
}

#[test]
fn an_unknown_field_is_named() {
    let t = Tenant::new("bad");
    let (status, message) = t.refused("POST", "/containers/create", r#"{"Image":"busybox","HostConfig":{"Bogus":1}}"#);
    assert_eq!((status, message.contains("HostConfig.Bogus")), (400, true), "{message}");
    let zero = r#"{"Image":"busybox","Cmd":["true"],"HostConfig":{"Bogus":null,"Other":[]}}"#;
    assert_eq!(t.http("POST", "/containers/create", &[("content-type", "application/json")], zero).0, 201);
}

#[test]
fn refusals_name_the_field_and_the_rule() {
    let t = Tenant::new("bad");
    for (field, rule) in [
        (r#""Privileged":true"#, "P01"),
        (r#""CapAdd":["SYS_ADMIN"]"#, "P02"),
        (r#""SecurityOpt":["seccomp=unconfined"]"#, "P05"),
        (r#""PidMode":"host""#, "P07"),
        (r#""UsernsMode":"host""#, "P09"),
        (r#""CgroupParent":"/x""#, "P11"),
        (r#""Runtime":"evil""#, "P12"),
        (r#""Sysctls":{"kernel.msgmax":"1"}"#, "P13"),
        (r#""Devices":[{"PathOnHost":"/dev/sda"}]"#, "P18"),
        (r#""OomKillDisable":true"#, "R06"),
        (r#""Binds":["/:/host"]"#, "M01"),
    ] {
        let body = format!(r#"{{"Image":"busybox","Cmd":["true"],"HostConfig":{{{field}}}}}"#);
        let (status, message) = t.refused("POST", "/containers/create", &body);
        assert_eq!(status, 403, "{field}: {message}");
        assert!(message.contains(rule), "{field}: {message}");
    }
    assert_eq!(t.docker(&["ps", "-aq"]).ok(), "");
}

#[test]
fn wrong_names_and_numbers() {
    let t = Tenant::new("bad");
    t.docker(&["run", "--name", "a b", "busybox", "true"]).fails_with(125, "Invalid container name (a b)");
    assert_eq!(t.refused("POST", "/containers/create?name=", r#"{"Image":""}"#).0, 400);
    assert_eq!(t.refused("GET", "/containers/json?filters=nonsense", "").0, 400);
    assert_eq!(t.refused("GET", "/containers/json?limit=x", "").0, 400);
    assert_eq!(t.refused("GET", "/containers/..%2f..%2fetc/json", "").0, 404);
}

#[test]
fn only_json_is_taken_for_json() {
    let t = Tenant::new("bad");
    let (status, text) = t.http("POST", "/containers/create", &[("content-type", "text/plain")], "{}");
    assert!(status == 400 || status == 415, "{status} {text}");
}
