//! What a build is given besides its Dockerfile: compressed contexts, images as its cache, limits of its steps.

use crate::{
    build::{Context, build, has},
    system::{Tenant, registry},
};

/// A program, and the ending of what it makes.
const PROGRAMS: [(&str, &str); 4] = [("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz"), ("zstd", "zst")];

/// With a file, an archive of each compression for ADD, and a step that shows them all.
fn with_archives(t: &Tenant) -> Context {
    let context = Context::new("FROM busybox\nCOPY f /f\nADD a.* /t/\nRUN cat /f /t/in-*\n").put("f", "the context\n");
    for (program, ending) in PROGRAMS {
        let script = format!("echo {program} >in-{ending}; tar cf - in-{ending} | {program} -c >a.tar.{ending}");
        t.shell(&format!("set -eo pipefail; cd {}; {script}; rm in-{ending}", context.path().display())).ok();
    }
    context
}

/// In the order of the names of the files.
const SHOWN: &str = "the context\nbzip2\ngzip\nxz\nzstd\n";

#[test]
fn a_context_may_be_compressed_with_whatever_dockerd_reads() {
    let t = Tenant::new("ctx");
    let context = with_archives(&t);
    let dir = context.path().display();
    for (program, ending) in PROGRAMS {
        let pack = format!("set -o pipefail; tar c -C {dir} . | {program} -c");
        let command = format!("DOCKER_BUILDKIT=0 docker build --no-cache -t cli:{ending} - 2>&1");
        has(&t.shell(&format!("{pack} | {command}")).ok(), &[SHOWN, &format!("Successfully tagged cli:{ending}\n")]);
        // Under the same type, whatever it is: the bytes say it.
        let url = format!("{}/v1.44/build?nocache=1&t=raw:{ending}", t.endpoint.replace("tcp:", "https:"));
        let tls = "--cacert $DOCKER_CERT_PATH/ca.pem --cert $DOCKER_CERT_PATH/cert.pem --key $DOCKER_CERT_PATH/key.pem";
        let curl = format!("curl -sSf {tls} -H 'Content-Type: application/x-tar' --data-binary @- '{url}'");
        let told = t.shell(&format!("{pack} | {curl}")).ok();
        has(&told, &["the context", &format!("Successfully tagged raw:{ending}")]);
        let shown = t.docker(&["run", "--rm", &format!("raw:{ending}"), "sh", "-c", "cat /f /t/in-*"]).ok();
        assert_eq!(shown, SHOWN);
    }
}

#[test]
fn a_compressed_context_that_ends_early_builds_nothing() {
    let t = Tenant::new("ctx");
    let context = with_archives(&t);
    for (program, _) in PROGRAMS {
        // Not into the context: tar would see it change.
        let archive = tempfile::NamedTempFile::new().expect("file");
        let pack = format!("tar c -C {} . | {program} -c >{}", context.path().display(), archive.path().display());
        t.shell(&format!("set -o pipefail; {pack}")).ok();
        let whole = std::fs::read(archive.path()).expect("the archive");
        assert!(whole.len() > 200, "{program} made {} bytes", whole.len());
        let half = whole[..whole.len() / 2].to_vec();
        let (status, text) = t.http("POST", "/v1.44/build?t=cut:1", &[("content-type", "application/x-tar")], half);
        // dockerd takes it for an error of its own, 500.
        assert_eq!(status, 400, "{program}: {text}");
        assert!(!text.contains("Dockerfile"), "it is the archive that is broken: {text}");
    }
    t.docker(&["image", "inspect", "cut:1"]).fails_with(1, "No such image: cut:1");
}

#[test]
fn an_image_from_elsewhere_is_a_cache_if_it_is_named_as_one() {
    let (one, two) = (Tenant::new("ctx"), Tenant::new("ctx"));
    // Only a step that is not done again leaves the same id.
    let file = "FROM busybox\nENV A=1\nRUN cat /proc/sys/kernel/random/uuid >/id\nCOPY f /f\nRUN cat /f /id\n";
    let context = Context::new(file).put("f", "one\n");
    context.build(&one, "-t old").ok();
    let id = |t: &Tenant, image: &str| t.docker(&["run", "--rm", image, "cat", "/id"]).ok();
    let known = id(&one, "old");
    let archive = tempfile::NamedTempFile::new().expect("file");
    let path = archive.path().to_str().expect("UTF-8");
    one.docker(&["save", "old", "-o", path]).ok();

    let cached = |out: &str| out.matches(" ---> Using cache\n").count();
    let foreign = context.build(&two, "--cache-from old -t none").ok();
    assert_eq!(cached(&foreign), 0, "another tenant's image is nobody's cache: {foreign}");
    two.docker(&["load", "-i", path]).ok();
    // There are results of the build before, but asked for are those of images alone.
    let missing = context.build(&two, "--cache-from nosuch:1 -t none").ok();
    assert_eq!(cached(&missing), 0, "{missing}");
    assert_ne!(id(&two, "none"), known);
    let reused = context.build(&two, "--cache-from nosuch:1 --cache-from old -t new").ok();
    assert_eq!(cached(&reused), 4, "{reused}");
    assert_eq!(id(&two, "new"), known);

    let context = context.put("f", "two\n");
    let changed = context.build(&two, "--cache-from old -t new").ok();
    assert_eq!(cached(&changed), 2, "up to what has changed: {changed}");
    has(&changed, &[&format!("two\n{known}")]);
    let fresh = context.build(&two, "--cache-from old --no-cache").ok();
    assert_eq!(cached(&fresh), 0, "{fresh}");
}

#[test]
fn a_cache_is_not_pulled() {
    let t = Tenant::new("ctx");
    let there = format!("{}/library/busybox:latest", registry());
    let out = build(&t, "FROM busybox\nRUN echo made\n", &format!("--cache-from {there}")).ok();
    assert!(out.contains("made\n") && !out.contains("Pull"), "{out}");
    t.docker(&["image", "inspect", &there]).fails_with(1, "No such image");
}

#[test]
fn limits_hold_in_the_steps() {
    let t = Tenant::new("ctx");
    let out = build(&t, "FROM busybox\nRUN tail /dev/zero\n", "--memory 16m");
    assert_ne!(out.code, 0);
    has(&out.out, &["The command '/bin/sh -c tail /dev/zero' returned a non-zero code: 137"]);
    let limit = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || true";
    has(&build(&t, &format!("FROM busybox\nRUN {limit}\n"), "-m 64m").ok(), &["\n67108864\n"]);
    let out = build(&t, "FROM busybox\nRUN true\n", "-m 4m");
    assert_ne!(out.code, 0);
    has(&out.out, &["Minimum memory limit allowed is 6MB"]);

    let file = "FROM busybox\nRUN head -c 12000000 /dev/zero >/dev/shm/x && echo it fits\n\
        RUN head -c 20000000 /dev/zero >/dev/shm/x || echo it is full\n";
    has(&build(&t, file, "--shm-size 16m").ok(), &["\nit fits\n", "it is full\n"]);
    let file = "FROM busybox\nRUN ulimit -Sn; ulimit -Hn; ulimit -n 300 || echo kept\n";
    has(&build(&t, file, "--ulimit nofile=100:200").ok(), &["\n100\n200\n", "kept\n"]);
}

#[test]
fn what_steps_are_given_is_not_the_images() {
    let t = Tenant::new("ctx");
    let file = "FROM busybox\nRUN ping -c 1 -w 5 box\n";
    let options = "-t made --add-host box:127.0.0.1 --ulimit nofile=100:200 --shm-size 16m";
    has(&build(&t, file, options).ok(), &["PING box (127.0.0.1)", "1 packets received"]);
    let script = "grep -c box /etc/hosts; ulimit -Hn; df -k /dev/shm | tail -1";
    let out = t.docker(&["run", "--rm", "made", "sh", "-c", script]).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "0", "{out}");
    assert!(lines[1] != "200" && lines[2].contains(" 65536 "), "{out}");
}
