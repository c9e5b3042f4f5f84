//! pull, list, inspect, tag, rmi, load, import.

use crate::system::{Tenant, busybox_tar, registry};

#[test]
fn pull_from_a_registry_shows_progress_and_runs() {
    let t = Tenant::bare("img");
    let name = format!("{}/library/busybox:latest", registry());
    let out = t.docker(&["pull", &name]).ok();
    for text in
        ["Pulling from library/busybox", "Pull complete", "Digest: sha256:", "Status: Downloaded newer image for"]
    {
        assert!(out.contains(text), "{text} is not in {out}");
    }
    assert!(t.docker(&["pull", &name]).ok().contains("Status: Image is up to date for"), "the second pull");
    assert_eq!(t.docker(&["run", "--rm", &name, "echo", "pulled"]).ok(), "pulled\n");
    let digest = t.docker(&["image", "inspect", &name, "--format", "{{index .RepoDigests 0}}"]).ok();
    assert!(digest.contains("@sha256:"), "{digest}");
    assert_eq!(t.docker(&["run", "--rm", digest.trim(), "echo", "by digest"]).ok(), "by digest\n");
}

#[test]
fn a_mirror_serves_the_default_registry() {
    let t = Tenant::bare("img");
    assert_eq!(t.docker(&["run", "--rm", "busybox", "echo", "mirrored"]).ok(), "mirrored\n");
}

#[test]
fn a_manifest_list_gives_the_platform_s_image() {
    let t = Tenant::bare("img");
    let name = format!("{}/library/multi:latest", registry());
    assert_eq!(t.docker(&["run", "--rm", &name, "echo", "ours"]).ok(), "ours\n");
    assert_eq!(t.docker(&["image", "inspect", &name, "--format", "{{.Architecture}}"]).ok(), "amd64\n");
    t.docker(&["pull", "--platform", "linux/s390x", &name]).fails_with(1, "");
}

#[test]
fn what_is_missing_unreachable_or_private_says_so() {
    let t = Tenant::bare("img");
    t.docker(&["pull", &format!("{}/nonesuch:v1", registry())]).fails_with(1, "not found");
    t.docker(&["pull", "127.0.0.1:1/x:v1"]).fails_with(1, "I01");
    t.docker(&["pull", "10.0.0.1/x:v1"]).fails_with(1, "I01");
    t.docker(&["run", "--rm", "nosuchimage-at-all", "true"]).fails_with(
        125,
        "pull access denied for nosuchimage-at-all, repository does not exist or may require 'docker login'",
    );
    assert_eq!(t.docker(&["images", "-q"]).ok(), "", "nothing half-made");
}

#[test]
fn import_with_changes() {
    let t = Tenant::bare("img");
    let tar = busybox_tar();
    let changes =
        ["-c", "CMD [\"sh\"]", "-c", "ENV FOO=bar", "-c", "LABEL cg=1", "-c", "EXPOSE 80/tcp", "-c", "WORKDIR /tmp"];
    t.docker(&[&["import"], &changes[..], &["-m", "by hand", tar.to_str().expect("UTF-8"), "mine:latest"]].concat())
        .ok();
    let format = "{{json .Config.Cmd}} {{json .Config.Env}} {{json .Config.ExposedPorts}} {{.Config.WorkingDir}} {{.Os}} {{.Comment}}";
    let text = t.docker(&["image", "inspect", "mine", "--format", format]).ok();
    assert_eq!(text, "[\"sh\"] [\"FOO=bar\"] {\"80/tcp\":{}} /tmp linux by hand\n");
    assert_eq!(t.docker(&["run", "--rm", "mine", "sh", "-c", "echo $FOO; pwd"]).ok(), "bar\n/tmp\n");
    t.docker(&["import", "-c", "BOGUS x", tar.to_str().expect("UTF-8"), "bad:latest"]).fails_with(1, "");
}

#[test]
fn tags_and_their_removal() {
    let t = Tenant::new("img");
    t.docker(&["tag", "busybox", "other:v1"]).ok();
    let out = t.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    assert!(out.contains("busybox:latest") && out.contains("other:v1"), "{out}");
    t.docker(&["tag", "nonesuch", "x"]).fails_with(1, "No such image: nonesuch:latest");
    assert!(t.docker(&["rmi", "other:v1"]).ok().starts_with("Untagged: other:v1"));
    t.docker(&["create", "--name", "c1", "busybox", "true"]).ok();
    t.docker(&["rmi", "busybox"]).fails_with(1, "conflict");
    t.docker(&["rm", "c1"]).ok();
    assert!(t.docker(&["rmi", "busybox"]).ok().contains("Deleted: sha256:"));
    t.docker(&["rmi", "busybox"]).fails_with(1, "No such image: busybox:latest");
}

#[test]
fn save_and_load_are_inverse() {
    let t = Tenant::new("img");
    let out = t.shell("cd $(mktemp -d) && docker save busybox -o s.tar && docker rmi -f busybox >/dev/null && docker load -i s.tar && rm s.tar").ok();
    assert!(out.contains("Loaded image: busybox:latest"), "{out}");
    assert_eq!(t.docker(&["run", "--rm", "busybox", "echo", "loaded"]).ok(), "loaded\n");
    t.shell("head -c 2000 /dev/urandom | docker load").fails_with(1, "");
}

#[test]
fn lists_are_filtered_as_dockerd_filters_them() {
    let t = Tenant::bare("img");
    let tar = busybox_tar();
    let tar = tar.to_str().expect("UTF-8");
    for (n, label) in [("1", "LABEL a=1"), ("2", "LABEL a=2 b=")] {
        t.docker(&["import", "-c", label, "-c", "CMD [\"sh\"]", tar, &format!("mine:{n}")]).ok();
    }
    t.docker(&["import", "-c", "LABEL c=1", tar]).ok();
    let names = |filters: &[&str]| {
        let args = [&["images", "--format", "{{.Repository}}:{{.Tag}}"], filters].concat();
        let mut names: Vec<String> = t.docker(&args).ok().lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    for (filters, wanted) in [
        (&["-f", "label=a"][..], "mine:1 mine:2"),
        (&["-f", "label=a=2"], "mine:2"),
        (&["-f", "label!=b"], "<none>:<none> mine:1"),
        (&["-f", "dangling=true"], "<none>:<none>"),
        (&["-f", "dangling=false"], "mine:1 mine:2"),
        (&["-f", "reference=mine:*"], "mine:1 mine:2"),
        (&["-f", "reference=m*e:1"], "mine:1"),
        (&["-f", "since=mine:1", "-f", "reference=mine"], "mine:2"),
        (&["-f", "before=mine:2"], "mine:1"),
        (&["-f", "until=1h"], ""),
        (&["mine:2"], "mine:2"),
    ] {
        assert_eq!(names(filters), wanted, "{filters:?}");
    }
    for (filter, error) in [
        ("bogus=1", "invalid filter 'bogus'"),
        ("dangling=maybe", "invalid filter 'dangling=[maybe]'"),
        ("until=bad", "failed to parse value as time or duration: \"bad\""),
        ("before=nonesuch", "No such image: nonesuch:latest"),
        ("reference=[", "syntax error in pattern"),
    ] {
        t.docker(&["images", "-f", filter]).fails_with(1, error);
    }
    let list = |query: &str| {
        let (status, body) = t.http("GET", &format!("/v1.51/images/json{query}"), &[], "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).expect("JSON").as_array().expect("a list").clone()
    };
    assert!(list("").iter().all(|i| i["SharedSize"] == -1 && i["Containers"] == -1 && i.get("Manifests").is_none()));
    // All three have the one layer.
    assert!(list("?shared-size=1").iter().all(|i| i["SharedSize"] == i["Size"] && i["Size"].as_u64() > Some(0)));
    let manifests = list("?manifests=1");
    assert_eq!(manifests[0]["Manifests"][0]["ImageData"]["Platform"]["os"], "linux");
}

#[test]
fn containers_outlive_their_image() {
    let t = Tenant::new("img");
    t.docker(&["import", "-m", "only here", busybox_tar().to_str().expect("UTF-8"), "own:1"]).ok();
    t.docker(&["create", "--name", "kept", "own:1", "echo", "still here"]).ok();
    let id = t.docker(&["inspect", "kept", "--format", "{{.Image}}"]).ok();
    let short = &id["sha256:".len()..][..12];
    t.docker(&["rmi", "own:1"]).fails_with(1, "(must force) - container");
    t.docker(&["rmi", short]).fails_with(1, "(must be forced) - image is being used by stopped container");
    let out = t.docker(&["rmi", "-f", "own:1"]).ok();
    assert_eq!(out, format!("Untagged: own:1\nDeleted: {id}"), "its layer stays for the container");
    assert_eq!(t.docker(&["start", "-a", "kept"]).ok(), "still here\n");
    assert_eq!(t.docker(&["image", "prune", "-af", "--filter", "label=none"]).ok(), "Total reclaimed space: 0B\n");
}

#[test]
fn a_running_containers_image_loses_its_name_at_most() {
    let t = Tenant::new("img");
    t.docker(&["run", "-d", "--name", "running", "busybox", "sleep", "60"]).ok();
    let id = t.docker(&["inspect", "running", "--format", "{{.Image}}"]).ok();
    let short = &id["sha256:".len()..][..12];
    for args in [&["rmi", short][..], &["rmi", "-f", short]] {
        t.docker(args).fails_with(1, "(cannot be forced) - image is being used by running container");
    }
    assert_eq!(t.docker(&["rmi", "-f", "busybox"]).ok(), "Untagged: busybox:latest\n");
    assert_eq!(t.docker(&["images", "-f", "dangling=true", "-q", "--no-trunc"]).ok(), id);
    t.docker(&["rm", "-f", "running"]).ok();
    assert!(t.docker(&["rmi", short]).ok().contains("Deleted: sha256:"));
}

#[test]
fn prune_tells_what_it_really_frees() {
    let t = Tenant::bare("img");
    let tar = busybox_tar();
    let tar = tar.to_str().expect("UTF-8");
    // Two images of one layer, one with a layer of its own.
    for (label, name) in [("LABEL p=1", "one:1"), ("LABEL p=2", "two:1")] {
        t.docker(&["import", "-c", label, tar, name]).ok();
    }
    let prune = |filters: &str| {
        let encoded: String = filters.bytes().map(|b| format!("%{b:02x}")).collect();
        let (status, body) = t.http("POST", &format!("/v1.51/images/prune?filters={encoded}"), &[], "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).expect("JSON")
    };
    let size = t.docker(&["image", "inspect", "one:1", "--format", "{{.Size}}"]).ok();
    assert_eq!(prune(r#"{"dangling":["true"]}"#)["ImagesDeleted"], serde_json::Value::Null);
    let first = prune(r#"{"dangling":["false"],"label":["p=1"]}"#);
    assert_eq!((&first["SpaceReclaimed"], first["ImagesDeleted"].as_array().expect("lines").len()), (&0.into(), 2));
    assert_eq!(prune(r#"{"dangling":["false"],"label!":["p=2"]}"#)["SpaceReclaimed"], 0);
    assert_eq!(prune(r#"{"dangling":["false"],"until":["1h"]}"#)["SpaceReclaimed"], 0);
    let last = prune(r#"{"dangling":["0"]}"#);
    assert_eq!(last["SpaceReclaimed"].to_string(), size.trim());
    assert_eq!(last["ImagesDeleted"][0]["Untagged"], "two:1");
    assert_eq!(t.docker(&["images", "-q"]).ok(), "");
}

#[test]
fn archives_that_are_broken_or_end_early_load_nothing() {
    let t = Tenant::new("img");
    let broken = |script: &str, text: &str| {
        let done = t.shell(&format!("cd $(mktemp -d) && docker save busybox -o s.tar && {script}"));
        done.fails_with(1, text);
    };
    t.docker(&["tag", "busybox", "keep:1"]).ok();
    broken("head -c 3000 s.tar | docker load", "unexpected EOF");
    broken("tar xf s.tar && rm -r blobs && tar cf t.tar * && docker load -i t.tar", "does not contain");
    broken("tar xf s.tar && echo '{' >manifest.json && tar cf t.tar * && docker load -i t.tar", "manifest.json");
    broken("tar cPf t.tar /etc/hostname && docker load -i t.tar", "outside");
    broken("ln -s /etc/passwd manifest.json && tar cf t.tar manifest.json && docker load -i t.tar", "outside");
    broken(
        "tar xf s.tar && for f in blobs/sha256/*; do tail -c1 $f >/dev/null; printf x >>$f; done && tar cf t.tar * && docker load -i t.tar",
        "",
    );
    assert_eq!(t.docker(&["images", "-q"]).ok().lines().count(), 2, "nothing new");
    let arm = "%7B%22os%22%3A%22linux%22%2C%22architecture%22%3A%22arm64%22%7D";
    let (status, message) = t.refused("GET", &format!("/v1.51/images/busybox/get?platform={arm}"), "");
    assert_eq!(
        (status, message.contains("does not provide the specified platform (linux/arm64)")),
        (404, true),
        "{message}"
    );
    assert_eq!(t.refused("GET", "/v1.51/images/busybox/history?platform=arm64", "").0, 400);
}

#[test]
fn search_says_that_no_index_is_configured() {
    let t = Tenant::bare("img");
    let (status, message) = t.refused("GET", "/v1.51/images/search?term=busybox", "");
    assert_eq!(
        (status, message.as_str()),
        (501, "search is not available: the operator has configured no search index")
    );
    t.docker(&["search", "busybox"]).fails_with(1, "no search index");
    assert_eq!(t.refused("GET", "/v1.51/images/search?term=x&limit=101", "").0, 400);
}
