//! Two tenants: each sees its own, and another's object cannot be told from a missing one.

use std::process::Command;

use crate::system::Tenant;

/// Method, path with `{}` for the object, body.
const CONTAINER_ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/containers/{}/json", ""),
    ("GET", "/containers/{}/logs?stdout=1", ""),
    ("GET", "/containers/{}/top", ""),
    ("POST", "/containers/{}/start", ""),
    ("POST", "/containers/{}/stop?t=0", ""),
    ("POST", "/containers/{}/restart?t=0", ""),
    ("POST", "/containers/{}/kill", ""),
    ("POST", "/containers/{}/rename?name=mine", ""),
    ("POST", "/containers/{}/resize?h=1&w=1", ""),
    ("POST", "/containers/{}/attach?stream=1&stdout=1", ""),
    ("POST", "/containers/{}/wait", ""),
    ("POST", "/containers/{}/exec", r#"{"Cmd":["true"]}"#),
    ("DELETE", "/containers/{}?force=1", ""),
];

#[test]
fn a_foreign_container_and_a_missing_one_give_the_same_answer() {
    let (owner, other) = (Tenant::new("iso"), Tenant::new("iso"));
    let id = owner.docker(&["run", "-d", "--name", "secret", "busybox", "sleep", "1000"]).ok().trim().to_owned();
    let missing = "f".repeat(64);
    for (method, path, body) in CONTAINER_ROUTES {
        let at = |who: &Tenant, reference: &str| {
            who.http(
                method,
                &path.replace("{}", reference),
                &[("content-type", "application/json")],
                (*body).to_owned(),
            )
        };
        for (foreign, absent) in [(id.as_str(), missing.as_str()), ("secret", "public"), (&id[..12], &missing[..12])] {
            let (theirs, nothing) = (at(&other, foreign), at(&other, absent));
            assert_eq!(theirs.0, 404, "{method} {path}");
            assert_eq!(theirs.1.replace(foreign, "X"), nothing.1.replace(absent, "X"), "{method} {path}");
        }
    }
    let control = owner.docker(&["inspect", "-f", "{{.State.Running}}", "secret"]).ok();
    assert_eq!(control, "true\n", "nothing of that touched it, and its owner sees it");
}

#[test]
fn names_and_images_are_each_tenant_s_own() {
    let (a, b) = (Tenant::new("iso"), Tenant::bare("iso"));
    a.docker(&["create", "--name", "same", "busybox", "true"]).ok();
    b.docker(&["create", "--name", "same", "busybox:latest-nonesuch", "true"]).fails_with(1, "");
    assert_eq!(b.docker(&["images", "-q"]).ok(), "", "another's image is not seen");
    let id = a.docker(&["image", "inspect", "busybox", "--format", "{{.Id}}"]).ok();
    b.docker(&["image", "inspect", id.trim()]).fails_with(1, "No such image");
    b.docker(&["create", id.trim(), "true"]).fails_with(1, "No such image");
    assert_eq!(b.docker(&["ps", "-aq"]).ok(), "");
}

#[test]
fn an_exec_id_is_worth_nothing_to_another_tenant() {
    let (a, b) = (Tenant::new("iso"), Tenant::bare("iso"));
    a.docker(&["run", "-d", "--name", "c1", "busybox", "sleep", "1000"]).ok();
    let json = [("content-type", "application/json")];
    let (_, text) = a.http("POST", "/containers/c1/exec", &json, r#"{"Cmd":["true"]}"#);
    let id = serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["Id"].as_str().expect("id").to_owned();
    assert_eq!(b.http("POST", &format!("/exec/{id}/start"), &json, r#"{"Detach":false}"#).0, 404);
    assert_eq!(b.http("GET", &format!("/exec/{id}/json"), &[], "").0, 404);
    assert_eq!(b.http("POST", &format!("/exec/{id}/resize?h=1&w=1"), &[], "").0, 404);
    assert_eq!(a.http("GET", &format!("/exec/{id}/json"), &[], "").0, 200, "the owner's control");
}

#[test]
fn without_a_certificate_there_is_no_door() {
    let t = Tenant::bare("iso");
    let url = t.endpoint.replace("tcp:", "https:") + "/_ping";
    let curl = |args: &[&str]| {
        Command::new("curl")
            .args(["-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(args)
            .arg(&url)
            .output()
            .expect("curl")
    };
    let ca = format!("{}/ca.pem", t.certs);
    assert!(!curl(&["--cacert", &ca]).status.success(), "no client certificate");
    let (cert, key) = (format!("{}/cert.pem", t.certs), format!("{}/key.pem", t.certs));
    let with = curl(&["--cacert", &ca, "--cert", &cert, "--key", &key]);
    assert_eq!(String::from_utf8_lossy(&with.stdout), "200", "the control");
    let plain = Command::new("curl").args(["-s", "-m", "10", &url.replace("https:", "http:")]).output().expect("curl");
    assert!(String::from_utf8_lossy(&plain.stdout).contains("Client sent an HTTP request to an HTTPS server"));
}
