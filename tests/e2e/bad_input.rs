//! Hostile and broken requests: a clear Docker error, and nothing half-made.

use crate::system::Tenant;

/// Each is refused with this status, and with a message that holds this text.
#[track_caller]
fn all_refused(t: &Tenant, calls: &[(&str, &str, &str, u16, &str)]) {
    for (method, path, body, status, text) in calls {
        let (got, message) = t.refused(method, path, body);
        assert!(got == *status && message.contains(text), "{method} {path} {body}: {got} {message}");
    }
}

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

#[test]
fn numbers_out_of_range_and_words_that_nobody_knows() {
    let t = Tenant::new("bad");
    t.docker(&["run", "-d", "--name", "b1", "busybox", "sleep", "1000"]).ok();
    all_refused(
        &t,
        &[
            ("GET", "/containers/b1/logs?stdout=1&since=abc", "", 400, "abc"),
            ("GET", "/containers/b1/logs?stdout=1&until=1e9", "", 400, "1e9"),
            ("GET", "/containers/b1/logs", "", 400, "you must choose at least one stream"),
            ("POST", "/containers/b1/resize?h=-1&w=80", "", 400, "-1"),
            ("POST", "/containers/b1/resize?h=99999999999&w=80", "", 400, "99999999999"),
            ("POST", "/containers/b1/resize", "", 400, "invalid syntax"),
            ("POST", "/containers/b1/kill?signal=BOGUS", "", 400, "BOGUS"),
            ("POST", "/containers/b1/kill?signal=999", "", 400, "999"),
            ("POST", "/containers/b1/kill?signal=-9", "", 400, "-9"),
            ("POST", "/containers/b1/stop?t=abc", "", 400, "abc"),
            ("POST", "/containers/b1/stop?signal=NOPE", "", 400, "NOPE"),
            ("POST", "/containers/b1/restart?t=9999999999999999999", "", 400, "9999999999999999999"),
            ("POST", "/containers/b1/wait?condition=bogus", "", 400, "invalid condition"),
            ("POST", "/containers/b1/attach?detachKeys=bogus", "", 400, "Invalid detach keys (bogus) provided"),
            ("POST", "/containers/b1/rename?name=", "", 400, "may be empty"),
            ("POST", "/containers/b1/rename?name=a%20b", "", 400, "Invalid container name"),
            ("POST", "/containers/b1/exec", "{}", 400, "No exec command specified"),
            ("POST", "/containers/b1/exec", r#"{"Cmd":["true"],"Privileged":true}"#, 403, "E02"),
            ("POST", "/exec/nope/start", "{}", 404, "No such exec instance: nope"),
            ("GET", "/containers/json?limit=abc", "", 400, "abc"),
            ("GET", "/containers/b1/logs?stdout=1&bogus=1", "", 400, "bogus"),
        ],
    );
    // As dockerd: what is no count of lines means all of them.
    for tail in ["-5", "all", "99999999999999999999999"] {
        assert_eq!(t.http("GET", &format!("/containers/b1/logs?stdout=1&tail={tail}"), &[], "").0, 200, "{tail}");
    }
    assert_eq!(t.inspect("b1")["State"]["Running"], true);
}

#[test]
fn a_filter_that_is_not_understood_never_widens() {
    let t = Tenant::new("bad");
    all_refused(
        &t,
        &[
            ("GET", "/containers/json?filters=%7B", "", 400, "invalid filter"),
            ("GET", "/containers/json?filters=[]", "", 400, "invalid filter"),
            ("GET", r#"/containers/json?filters={"status":"running"}"#, "", 400, "invalid filter"),
            ("GET", r#"/containers/json?filters={"bogus":["x"]}"#, "", 400, "invalid filter 'bogus'"),
            ("GET", r#"/containers/json?filters={"status":["nope"]}"#, "", 400, "invalid filter 'status=nope'"),
            ("GET", r#"/containers/json?filters={"exited":["x"]}"#, "", 400, "invalid filter 'exited=x'"),
            ("GET", r#"/containers/json?filters={"health":["nope"]}"#, "", 400, "nope"),
            ("GET", r#"/images/json?filters={"bogus":["x"]}"#, "", 400, "invalid filter 'bogus'"),
            ("GET", r#"/images/json?filters={"dangling":["x"]}"#, "", 400, "invalid filter 'dangling="),
            ("POST", r#"/images/prune?filters={"bogus":["x"]}"#, "", 400, "invalid filter 'bogus'"),
            ("POST", r#"/images/prune?filters={"until":["abc"]}"#, "", 400, "abc"),
        ],
    );
    assert_eq!(t.docker(&["images", "-q"]).ok().lines().count(), 1, "nothing was pruned");
}

#[test]
fn images_that_cannot_be_named_or_read() {
    let t = Tenant::new("bad");
    all_refused(
        &t,
        &[
            ("POST", "/images/create?fromImage=UPPER", "", 400, "must be lowercase"),
            ("POST", "/images/create?fromImage=busybox&tag=a%20b", "", 400, "invalid"),
            ("POST", "/images/create", "", 400, ""),
            ("POST", "/images/create?fromSrc=-&changes=BOGUS", "", 400, "BOGUS"),
            ("POST", "/images/create?fromSrc=http://127.0.0.1/x.tar", "", 403, "I03"),
            ("POST", "/images/busybox/tag?repo=UPPER", "", 400, "must be lowercase"),
            ("GET", "/images/nope/get", "", 404, "No such image: nope"),
            ("DELETE", "/images/nope", "", 404, "No such image: nope"),
            ("POST", "/containers/create", r#"{"Image":"UPPER"}"#, 400, "must be lowercase"),
        ],
    );
    for (body, text) in [("nonsense", ""), ("", "")] {
        let (status, answer) = t.http("POST", "/images/load", &[("content-type", "application/x-tar")], body);
        assert!(status == 400 || answer.contains("errorDetail"), "{body:?}: {status} {answer} {text}");
    }
    let (_, answer) = t.http("POST", "/images/create?fromSrc=-&repo=x", &[("content-type", "text/plain")], "nonsense");
    assert!(answer.contains("error") || answer.contains("message"), "{answer}");
    assert_eq!(t.docker(&["images", "-q"]).ok().lines().count(), 1, "nothing came of it");
}
