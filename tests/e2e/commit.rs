//! `docker commit`: what a container changed becomes an image that runs on every host.

use std::time::Duration;

use serde_json::{Value, json};

use crate::system::{Tenant, eventually};

/// As many containers as there are hosts get the image to each of them.
const SPREAD: usize = 4;

#[test]
fn changes_of_a_running_container() {
    let t = Tenant::new("commit");
    t.docker(&["run", "-d", "--name", "c1", "busybox", "sleep", "1000"]).ok();
    let script = "echo new > /new; rm -r /var/www; mkdir /var/www; touch '/a b'; ln /bin/busybox /bb2; chmod 4755 /bb2; \
                  mkdir -p /deep/er; chown 1000:1000 /deep/er; ln -s /etc/passwd /link; mkfifo /fifo";
    t.docker(&["exec", "c1", "sh", "-c", script]).ok();
    let args = ["commit", "-m", "msg", "-a", "me", "-c", "CMD [\"cat\",\"/new\"]", "-c", "ENV C=1", "c1", "made:v1"];
    let id = t.docker(&args).ok();
    assert!(id.starts_with("sha256:") && id.trim().len() == 71, "{id}");

    let format = "{{json .Config.Cmd}} {{json .Config.Env}} {{.Author}} {{.Comment}} {{len .RootFS.Layers}} {{.Id}}";
    let shown = t.docker(&["image", "inspect", "made:v1", "--format", format]).ok();
    assert_eq!(shown, format!("[\"cat\",\"/new\"] [\"C=1\"] me msg 2 {id}"));
    let history = t.docker(&["history", "made:v1", "--format", "{{.CreatedBy}}|{{.Comment}}"]).ok();
    assert_eq!(history.lines().next(), Some("sleep 1000|msg"));
    assert_eq!(history.lines().count(), 2);

    let look = "cat /new; ls /var/www | wc -l; stat -c '%a %h' /bb2; stat -c %u:%g /deep/er; readlink /link; ls -d '/a b'; \
                test -p /fifo; echo $C";
    let wanted = "new\n0\n4755 2\n1000:1000\n/etc/passwd\n/a b\n1\n";
    for _ in 0..SPREAD {
        assert_eq!(t.docker(&["run", "--rm", "made:v1", "sh", "-c", look]).ok(), wanted);
    }
    assert_eq!(t.docker(&["run", "--rm", "made:v1"]).ok(), "new\n");
    // The container went on, and is what it was.
    assert_eq!(t.inspect("c1")["State"]["Status"], "running");
    assert_eq!(t.docker(&["exec", "c1", "echo", "alive"]).ok(), "alive\n");
}

#[test]
fn an_unchanged_container_gives_no_layer() {
    let t = Tenant::new("commit");
    t.docker(&["create", "--name", "c1", "busybox", "sh"]).ok();
    t.docker(&["run", "--name", "c2", "busybox", "true"]).ok();
    for container in ["c1", "c2"] {
        t.docker(&["commit", container, "same"]).ok();
        assert_eq!(t.docker(&["image", "inspect", "same", "--format", "{{len .RootFS.Layers}}"]).ok(), "1\n");
    }
    assert_eq!(t.docker(&["run", "--rm", "same", "echo", "runs"]).ok(), "runs\n");
    let sizes = t.docker(&["history", "same", "--format", "{{.Size}}"]).ok();
    assert_eq!(sizes.lines().next(), Some("0B"));
}

#[test]
fn a_second_commit_has_what_came_meanwhile() {
    let t = Tenant::new("commit");
    t.docker(&["run", "-d", "--name", "c1", "busybox", "sleep", "1000"]).ok();
    let layer = |name: &str| {
        t.docker(&["commit", "c1", name]).ok();
        t.docker(&["image", "inspect", name, "--format", "{{index .RootFS.Layers 1}}"]).ok()
    };
    t.docker(&["exec", "c1", "sh", "-c", "echo one > /f"]).ok();
    std::thread::sleep(Duration::from_millis(300));
    let first = layer("first");
    assert_eq!(layer("again"), first, "nothing has changed");
    t.docker(&["exec", "c1", "sh", "-c", "echo two > /f"]).ok();
    assert_ne!(layer("second"), first);
    assert_eq!(t.docker(&["run", "--rm", "second", "cat", "/f"]).ok(), "two\n");
    assert_eq!(t.docker(&["run", "--rm", "again", "cat", "/f"]).ok(), "one\n");
    // A commit of a commit; and the first image gone, the layer is made anew.
    t.docker(&["rmi", "first", "again", "second"]).ok();
    layer("third");
    t.docker(&["run", "--name", "c2", "third", "sh", "-c", "echo three > /g"]).ok();
    t.docker(&["commit", "c2", "fourth"]).ok();
    assert_eq!(t.docker(&["run", "--rm", "fourth", "cat", "/f", "/g"]).ok(), "two\nthree\n");
}

#[test]
fn a_writer_stands_still_while_it_is_read() {
    let t = Tenant::new("commit");
    // Two files that are always the same, but for the moment between two renames.
    let script = "i=0; while :; do i=$((i+1)); echo $i > /t; cp /t /u; mv /t /a; mv /u /b; done";
    t.docker(&["run", "-d", "--name", "c1", "busybox", "sh", "-c", script]).ok();
    eventually(10, "both files are there", || t.docker(&["exec", "c1", "test", "-e", "/b"]).code == 0);
    for n in 0..5 {
        let name = format!("moment:{n}");
        t.docker(&["commit", "c1", &name]).ok();
        let read = t.docker(&["run", "--rm", &name, "sh", "-c", "echo $(($(cat /a) - $(cat /b)))"]).ok();
        assert!(["0\n", "1\n"].contains(&read.as_str()), "{read}");
    }
    t.docker(&["commit", "--pause=false", "c1", "moment:live"]).ok();
    assert_eq!(t.inspect("c1")["State"]["Status"], "running");
    // One that is paused stays so.
    t.docker(&["pause", "c1"]).ok();
    t.docker(&["commit", "c1", "moment:paused"]).ok();
    assert_eq!(t.inspect("c1")["State"]["Status"], "paused");
    t.docker(&["unpause", "c1"]).ok();
}

#[test]
fn a_client_that_goes_away_leaves_nothing_frozen() {
    let t = Tenant::new("commit");
    t.docker(&[
        "run",
        "-d",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "dd if=/dev/urandom of=/big bs=1M count=64; sleep 1000",
    ])
    .ok();
    eventually(20, "the file is written", || {
        t.docker(&["exec", "c1", "sh", "-c", "test $(stat -c %s /big) = 67108864"]).code == 0
    });
    for _ in 0..3 {
        let mut client = t.docker_child(&["commit", "c1", "gone"]);
        std::thread::sleep(Duration::from_millis(60));
        client.kill().expect("kill");
        client.wait().expect("wait");
        assert_eq!(t.docker(&["exec", "c1", "echo", "alive"]).ok(), "alive\n");
    }
    // A kill does not wait for a commit.
    let mut client = t.docker_child(&["commit", "c1", "killed"]);
    t.docker(&["kill", "c1"]).ok();
    client.wait().expect("wait");
    assert_eq!(t.inspect("c1")["State"]["Status"], "exited");
}

#[test]
fn a_config_in_the_body_goes_before_the_containers() {
    let t = Tenant::new("commit");
    t.docker(&["create", "--name", "c1", "-e", "A=1", "-w", "/tmp", "-l", "x=own", "busybox", "sleep", "9"]).ok();
    let body = json!({"Env": ["B=2"], "Labels": {"x": "given"}, "Cmd": ["true"]}).to_string();
    let headers = [("content-type", "application/json")];
    let (status, answer) = t.http("POST", "/v1.44/commit?container=c1&repo=given&tag=v1", &headers, body);
    assert_eq!(status, 201, "{answer}");
    let id = serde_json::from_str::<Value>(&answer).expect("JSON")["Id"].as_str().expect("id").to_owned();
    let format = "{{json .Config.Env}} {{json .Config.Cmd}} {{.Config.WorkingDir}} {{json .Config.Labels}} {{.Id}}";
    let shown = t.docker(&["image", "inspect", "given:v1", "--format", format]).ok();
    assert_eq!(shown, format!("[\"B=2\",\"A=1\"] [\"true\"] /tmp {{\"x\":\"given\"}} {id}\n"));
    // Without a name there is only the id.
    let (status, answer) = t.http("POST", "/v1.44/commit?container=c1", &headers, "null");
    assert_eq!(status, 201, "{answer}");
}

#[test]
fn what_cannot_be_committed() {
    let t = Tenant::new("commit");
    t.docker(&["create", "--name", "c1", "busybox", "sh"]).ok();
    t.docker(&["commit", "nonesuch", "x"]).fails_with(1, "No such container: nonesuch");
    t.docker(&["commit", "c1", "UPPER"]).fails_with(1, "must be lowercase");
    t.docker(&["commit", "-c", "RUN true", "c1", "x"]).fails_with(1, "RUN is not a valid change command");
    t.docker(&["commit", "-c", "WORKDIR /proc/self/fd/7", "c1", "x"]).fails_with(1, "policy P17");
    let other = Tenant::bare("commit");
    let id = t.inspect("c1")["Id"].as_str().expect("id").to_owned();
    other.docker(&["commit", &id, "x"]).fails_with(1, &format!("No such container: {id}"));
    assert_eq!(t.docker(&["images", "-q", "x"]).ok(), "", "nothing half-made");
}

#[test]
fn a_commit_is_told() {
    let t = Tenant::new("commit");
    t.docker(&["run", "-d", "--name", "c1", "busybox", "sleep", "1000"]).ok();
    let id = t.docker(&["commit", "-m", "hello", "c1", "told:v1"]).ok();
    // The CLI cuts `--until 0s` down to the whole second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let events = t
        .docker(&["events", "--since", "1m", "--until", "0s", "--format", "{{.Action}} {{json .Actor.Attributes}}"])
        .ok();
    let lines: Vec<&str> = events.lines().collect();
    let of = |action: &str| lines.iter().rposition(|l| l.starts_with(&format!("{action} ")));
    let [pause, tag, commit, unpause] = ["pause", "tag", "commit", "unpause"].map(of);
    assert!(pause.is_some() && pause < tag && tag < commit && commit < unpause, "{events}");
    let line = events.lines().nth(commit.expect("commit")).expect("line");
    let told: Value = serde_json::from_str(line.split_once(' ').expect("JSON").1).expect("JSON");
    assert_eq!((&told["comment"], &told["imageRef"]), (&json!("hello"), &json!("told:v1")));
    assert_eq!(told["imageID"], id.trim());
}
