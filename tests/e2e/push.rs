//! `docker push`, and what a registry says without a pull.

use serde_json::Value;

use crate::system::{Tenant, registry};

/// A repository of this test alone.
fn repository(t: &Tenant, name: &str) -> String {
    format!("{}/{}/{name}", registry(), t.name)
}

#[test]
fn commit_push_remove_pull_run() {
    let t = Tenant::new("push");
    let name = format!("{}:v1", repository(&t, "made"));
    t.docker(&["run", "--name", "c1", "busybox", "sh", "-c", "echo pushed > /f; rm -r /var/www"]).ok();
    t.docker(&["commit", "c1", &name]).ok();
    let out = t.docker(&["push", &name]).ok();
    assert!(out.starts_with(&format!("The push refers to repository [{}]\n", repository(&t, "made"))), "{out}");
    assert!(out.contains(": Pushed") && out.contains("v1: digest: sha256:"), "{out}");
    let digests = t.docker(&["images", "--digests", "--format", "{{.Digest}}", &repository(&t, "made")]).ok();
    let digest = digests.trim();
    assert!(out.contains(digest) && digest.starts_with("sha256:"), "{digests} in {out}");
    assert!(t.docker(&["push", &name]).ok().contains(": Layer already exists"));
    assert_eq!(t.docker(&["push", "-q", &name]).ok(), format!("{name}\n"));

    t.docker(&["rm", "c1"]).ok();
    t.docker(&["rmi", "-f", &name]).ok();
    let out = t.docker(&["pull", &name]).ok();
    assert!(out.contains("Status: Downloaded newer image"), "{out}");
    let look = ["run", "--rm", &name, "sh", "-c", "cat /f; ls /var"];
    assert_eq!(t.docker(&look).ok(), "pushed\n");
    let other = Tenant::bare("push");
    assert_eq!(other.docker(&look).ok(), "pushed\n");
    // Under another name the layers need not travel.
    let copy = format!("{}:v2", repository(&t, "copy"));
    t.docker(&["tag", &name, &copy]).ok();
    let out = t.docker(&["push", &copy]).ok();
    assert!(out.contains(&format!(": Mounted from {}/made", t.name)), "{out}");
    assert!(out.contains(digest), "the manifest is the one that was pulled: {out}");
}

#[test]
fn all_tags_there_and_back() {
    let t = Tenant::new("push");
    let name = repository(&t, "many");
    for tag in ["v1", "v2"] {
        t.docker(&["tag", "busybox", &format!("{name}:{tag}")]).ok();
    }
    let out = t.docker(&["push", "-a", &name]).ok();
    assert!(out.contains("v1: digest: sha256:") && out.contains("v2: digest: sha256:"), "{out}");
    let other = Tenant::bare("push");
    let out = other.docker(&["pull", "-a", &name]).ok();
    assert!(out.contains("v1: Pulling from") && out.contains("v2: Pulling from"), "{out}");
    assert!(out.contains(&format!("Status: Downloaded newer image for {name}\n")), "{out}");
    let tags = other.docker(&["images", "--format", "{{.Tag}}", &name]).ok();
    assert_eq!(tags.lines().count(), 2, "{tags}");
}

#[test]
fn what_cannot_be_pushed() {
    let (t, other) = (Tenant::new("push"), Tenant::bare("push"));
    let name = repository(&t, "mine");
    t.docker(&["tag", "busybox", &format!("{name}:v1")]).ok();
    t.docker(&["push", &format!("{name}:v2")]).fails_with(1, &format!("tag does not exist: {name}:v2"));
    let missing = format!("An image does not exist locally with the tag: {name}");
    other.docker(&["push", &format!("{name}:v1")]).fails_with(1, &missing);
    other.docker(&["push", "-a", &name]).fails_with(1, &missing);
    t.docker(&["tag", "busybox", "10.0.0.1/x:v1"]).ok();
    t.docker(&["push", "10.0.0.1/x:v1"]).fails_with(1, "policy I01");
    t.docker(&["tag", "busybox", "127.0.0.1:1/x:v1"]).ok();
    t.docker(&["push", "127.0.0.1:1/x:v1"]).fails_with(1, "I01");
    let (status, text) = t.http("POST", &format!("/v1.44/images/{name}/push?tag=v1"), &[], "");
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("missing X-Registry-Auth"), "{text}");
}

#[test]
fn a_registry_is_asked_without_a_pull() {
    let t = Tenant::bare("push");
    let ask = |name: &str| {
        let (status, text) = t.http("GET", &format!("/v1.44/distribution/{}/{name}/json", registry()), &[], "");
        (status, serde_json::from_str::<Value>(&text).unwrap_or_else(|e| panic!("{text}: {e}")))
    };
    let (status, found) = ask("library/busybox:latest");
    assert_eq!((status, &found["Platforms"][0]["architecture"]), (200, &"amd64".into()), "{found}");
    let digest = found["Descriptor"]["digest"].as_str().expect("digest").to_owned();
    assert_eq!(ask(&format!("library/busybox@{digest}")).1, found);
    let (_, found) = ask("library/multi");
    assert_eq!(found["Platforms"].as_array().expect("platforms").len(), 2, "{found}");
    let (status, found) = ask("library/nonesuch");
    assert_eq!((status, &found["message"]), (404, &"manifest unknown: manifest unknown".into()));
    assert_eq!(t.docker(&["images", "-q"]).ok(), "");
    let name = format!("{}/library/busybox:latest", registry());
    let manifest = t.docker(&["manifest", "inspect", "--insecure", &name]).ok();
    assert_eq!(serde_json::from_str::<Value>(&manifest).expect("JSON")["schemaVersion"], 2);
}
