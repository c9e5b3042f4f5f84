//! What will never be offered: each call says so, in dockerd's words where it has any.

use crate::system::Tenant;

#[test]
fn swarm_is_off() {
    let t = Tenant::bare("never");
    let manager = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
    for (method, path) in [
        ("GET", "/swarm"),
        ("GET", "/nodes"),
        ("GET", "/nodes/x"),
        ("POST", "/services/create"),
        ("GET", "/services/x/logs?stdout=1"),
        ("GET", "/tasks"),
        ("DELETE", "/secrets/x"),
        ("GET", "/configs"),
        ("POST", "/swarm/unlock"),
    ] {
        assert_eq!(t.refused(method, path, "{}"), (503, manager.to_owned()), "{method} {path}");
    }
    assert_eq!(t.refused("POST", "/swarm/leave?force=1", ""), (503, "This node is not part of a swarm".to_owned()));
    t.docker(&["swarm", "init"]).fails_with(1, "Swarm mode is not available on this endpoint");
    t.docker(&["node", "ls"]).fails_with(1, "This node is not a swarm manager");
    assert_eq!(t.docker(&["info", "-f", "{{.Swarm.LocalNodeState}}"]).ok(), "inactive\n");
}

#[test]
fn there_are_no_plugins() {
    let t = Tenant::bare("never");
    assert_eq!(t.docker(&["plugin", "ls", "-q"]).ok(), "");
    for (method, path) in [
        ("GET", "/plugins/x/json"),
        ("DELETE", "/plugins/x"),
        ("POST", "/plugins/x/enable?timeout=1"),
        ("POST", "/plugins/x/set"),
    ] {
        assert_eq!(t.refused(method, path, "[]"), (404, "plugin \"x\" not found".to_owned()), "{method} {path}");
    }
    t.docker(&["plugin", "inspect", "vieux/sshfs"]).fails_with(1, "plugin \"vieux/sshfs\" not found");
    for (method, path) in
        [("POST", "/plugins/pull?remote=x"), ("GET", "/plugins/privileges?remote=x"), ("POST", "/plugins/create")]
    {
        let (status, message) = t.refused(method, path, "[]");
        assert!(status == 501 && message.contains("U01"), "{method} {path}: {status} {message}");
    }
}

#[test]
fn checkpoints_and_build_sessions() {
    let t = Tenant::new("never");
    t.docker(&["create", "--name", "c1", "busybox", "true"]).ok();
    for (method, path) in [
        ("GET", "/containers/c1/checkpoints"),
        ("POST", "/containers/c1/checkpoints"),
        ("DELETE", "/containers/c1/checkpoints/x"),
        ("POST", "/containers/c1/start?checkpoint=x&checkpoint-dir=/"),
    ] {
        let (status, message) = t.refused(method, path, "");
        assert!(status == 501 && message.contains("experimental feature is disabled"), "{method} {path}: {message}");
    }
    for path in ["/session", "/grpc"] {
        let upgrade = [("connection", "Upgrade"), ("upgrade", "h2c")];
        let (status, body) = t.http("POST", path, &upgrade, "");
        assert!(status == 501 && body.contains("U03"), "{path}: {status} {body}");
    }
    for (method, path) in [
        ("GET", "/session"),
        ("GET", "/metrics"),
        ("GET", "/debug/pprof/heap"),
        ("OPTIONS", "/info"),
        ("POST", "/containers/c1/copy"),
    ] {
        assert_eq!(t.refused(method, path, ""), (404, "page not found".to_owned()), "{method} {path}");
    }
}
