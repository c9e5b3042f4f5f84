//! `ps`, `inspect`, `version`, `info`: what a tenant sees of its own.

use serde_json::Value;

use crate::system::Tenant;

#[test]
fn ps_filters() {
    let t = Tenant::new("ps");
    t.docker(&["run", "-d", "--name", "up", "--label", "k=v", "busybox", "sleep", "1000"]).ok();
    t.docker(&["run", "--name", "down", "--label", "k=v2", "busybox", "sh", "-c", "exit 7"]).fails_with(7, "");
    t.docker(&["create", "--name", "new", "busybox", "true"]).ok();
    let names = |args: &[&str]| {
        let out = t.docker(&[&["ps", "--format", "{{.Names}}"], args].concat()).ok();
        let mut names: Vec<String> = out.lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names(&[]), "up");
    assert_eq!(names(&["-a"]), "down new up");
    assert_eq!(names(&["-a", "-f", "label=k"]), "down up");
    assert_eq!(names(&["-a", "-f", "label=k=v"]), "up");
    assert_eq!(names(&["-a", "-f", "exited=7"]), "down");
    assert_eq!(names(&["-a", "-f", "status=created"]), "new");
    assert_eq!(names(&["-a", "-f", "name=^/?ne"]), "new");
    assert_eq!(names(&["-a", "-f", "ancestor=busybox"]), "down new up");
    assert_eq!(names(&["-a", "-f", "before=new"]), "down up");
    assert_eq!(names(&["-a", "-f", "since=down"]), "new");
    assert_eq!(names(&["-n", "1"]), "new");
    t.docker(&["ps", "-f", "bogus=1"]).fails_with(1, "invalid filter 'bogus'");
    let line = t.docker(&["ps", "-a", "-f", "name=down", "--format", "{{.Status}}|{{.Image}}|{{.Command}}"]).ok();
    assert!(line.starts_with("Exited (7) ") && line.contains("|busybox|\"sh -c 'exit 7'\""), "{line}");
}

#[test]
fn a_container_is_found_by_id_name_and_prefix() {
    let t = Tenant::new("ps");
    let id = t.docker(&["create", "--name", "c1", "busybox", "true"]).ok().trim().to_owned();
    for reference in [id.as_str(), &id[..12], &id[..6], "c1", "/c1"] {
        assert_eq!(t.docker(&["inspect", "-f", "{{.Id}}", reference]).ok().trim(), id, "{reference}");
    }
}

#[test]
fn inspect_hides_the_host() {
    let t = Tenant::new("ps");
    t.docker(&["run", "-d", "--name", "c1", "busybox", "sleep", "1000"]).ok();
    let value = t.inspect("c1");
    for path in ["LogPath", "ResolvConfPath", "HostsPath", "HostnamePath"] {
        assert_eq!(value[path].as_str().unwrap_or(""), "", "{path}");
    }
    assert_eq!(value["Config"]["Image"], "busybox");
    assert_eq!(value["HostConfig"]["NetworkMode"], "bridge");
    let network = &value["NetworkSettings"]["Networks"]["bridge"];
    assert!(network["IPAddress"].as_str().is_some_and(|a| a.parse::<std::net::Ipv4Addr>().is_ok()), "{network}");
}

#[test]
fn version_and_info_describe_the_data_centre_as_one_host() {
    let t = Tenant::new("info");
    t.docker(&["create", "busybox", "true"]).ok();
    let (status, text) = t.http("GET", "/version", &[], "");
    let version: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, version["ApiVersion"].as_str(), version["Os"].as_str()), (200, Some("1.51"), Some("linux")));
    let info: Value = serde_json::from_str(&t.http("GET", "/info", &[], "").1).expect("JSON");
    assert_eq!((info["Containers"].as_i64(), info["Images"].as_i64()), (Some(1), Some(1)));
    assert!(info["NCPU"].as_i64() > Some(0) && info["MemTotal"].as_i64() > Some(0));
}

#[test]
fn versions_are_bounded_and_every_answer_says_which() {
    let t = Tenant::bare("info");
    let (status, message) = t.refused("GET", "/v1.99/containers/json", "");
    assert_eq!(status, 400);
    assert_eq!(message, "client version 1.99 is too new. Maximum supported API version is 1.51");
    assert_eq!(t.refused("GET", "/v1.1/containers/json", "").0, 400);
    assert_eq!(t.refused("GET", "/v1.44/nonsense", ""), (404, "page not found".to_owned()));
}
