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
