//! `docker events`: sequences and attributes as dockerd has them, filters, times, following, and nobody else's.

use std::{
    io::{BufRead, BufReader},
    process::Child,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::system::{Tenant, block_on, eventually, registry};

/// All that is stored, in order. Not through the CLI, which cuts its `until` down to whole seconds.
fn log(t: &Tenant, filters: &[&str]) -> Vec<Value> {
    let mut chosen = std::collections::BTreeMap::<&str, Vec<&str>>::new();
    for filter in filters.iter().filter(|f| **f != "-f") {
        let (key, value) = filter.split_once('=').expect("key=value");
        chosen.entry(key).or_default().push(value);
    }
    let json = serde_json::to_string(&chosen).expect("JSON");
    let encoded: String = json.bytes().map(|b| format!("%{b:02X}")).collect();
    let (status, text) = t.http("GET", &format!("/events?since=0&until=0s&filters={encoded}"), &[], "");
    assert_eq!(status, 200, "{text}");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// `container start`, one line for each event.
fn story(t: &Tenant, filters: &[&str]) -> String {
    let line = |e: Value| format!("{} {}", e["Type"].as_str().expect("type"), e["Action"].as_str().expect("action"));
    log(t, filters).into_iter().map(line).collect::<Vec<_>>().join("\n")
}

fn lines(expected: &[&str]) -> String {
    expected.join("\n")
}

#[test]
fn the_life_of_a_container_is_told_as_dockerd_tells_it() {
    let t = Tenant::new("events");
    t.docker(&["run", "--rm", "--name", "short", "--label", "role=web", "busybox", "sh", "-c", "exit 3"])
        .fails_with(3, "");
    let told = log(&t, &["-f", "type=container"]);
    let actions: Vec<_> = told.iter().map(|e| e["Action"].as_str().expect("action")).collect();
    assert_eq!(actions, ["create", "attach", "start", "die", "destroy"]);
    let die = &told[3]["Actor"]["Attributes"];
    let expected = serde_json::json!({
        "execDuration": "0", "exitCode": "3", "image": "busybox", "name": "short", "role": "web"
    });
    assert_eq!(die, &expected);
    let all = story(&t, &["-f", "type=container", "-f", "type=network"]);
    let order = [
        "container create",
        "container attach",
        "network connect",
        "container start",
        "network disconnect",
        "container die",
        "container destroy",
    ];
    assert_eq!(all, lines(&order));
    assert!(told[0].get("status").is_some() && told[0]["from"] == "busybox" && told[0]["scope"] == "local");
}

#[test]
fn verbs_tell_what_they_did() {
    let t = Tenant::new("events");
    t.docker(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]).ok();
    let began = log(&t, &[]).len();
    for args in [
        &["stop", "-t", "1", "web"][..],
        &["start", "web"],
        &["restart", "-t", "0", "web"],
        &["pause", "web"],
        &["unpause", "web"],
        &["kill", "-s", "HUP", "web"],
        &["rename", "web", "other"],
        &["top", "other"],
        &["kill", "other"],
        &["rm", "other"],
    ] {
        t.docker(args).ok();
    }
    let told: Vec<Value> = log(&t, &[]).split_off(began);
    let short = |e: &Value| {
        let signal = e["Actor"]["Attributes"].get("signal").and_then(Value::as_str).map(|s| format!(" {s}"));
        format!("{}{}", e["Action"].as_str().expect("action"), signal.unwrap_or_default())
    };
    let actions: Vec<_> = told.iter().map(short).collect();
    let stop = ["kill 15", "kill 9", "disconnect", "stop", "die"];
    let start = ["connect", "start"];
    let restart = ["kill 15", "kill 9", "disconnect", "stop", "die", "connect", "start", "restart"];
    let rest = ["pause", "unpause", "kill 1", "rename", "top", "kill 9", "disconnect", "die", "destroy"];
    assert_eq!(actions, [&stop[..], &start, &restart, &rest].concat());
    let rename = told.iter().find(|e| e["Action"] == "rename").expect("a rename");
    assert_eq!(rename["Actor"]["Attributes"]["oldName"], "/web");
    assert_eq!(rename["Actor"]["Attributes"]["name"], "other");
    let times: Vec<_> = told.iter().map(|e| e["timeNano"].as_i64().expect("time")).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn execs_health_and_oom_are_told() {
    let t = Tenant::new("events");
    let health = ["--health-cmd", "test -e /ok", "--health-interval", "1s", "--health-retries", "1"];
    let args = [&["run", "-d", "--name", "web"][..], &health, &["busybox", "sleep", "1000"]].concat();
    t.docker(&args).ok();
    t.docker(&["exec", "web", "sh", "-c", "exit 3"]).fails_with(3, "");
    eventually(20, "unhealthy", || story(&t, &["-f", "event=health_status"]).ends_with("unhealthy"));
    t.docker(&["exec", "web", "touch", "/ok"]).ok();
    eventually(20, "healthy", || story(&t, &["-f", "event=health_status"]).ends_with(": healthy"));
    let execs = log(&t, &["-f", "event=exec_create", "-f", "event=exec_start", "-f", "event=exec_die"]);
    let short = |e: &Value| {
        let code = e["Actor"]["Attributes"].get("exitCode").and_then(Value::as_str).map(|s| format!(" {s}"));
        format!("{}{}", e["Action"].as_str().expect("action"), code.unwrap_or_default())
    };
    let told: Vec<_> = execs.iter().map(short).collect();
    let expected = [
        "exec_create: sh -c exit 3",
        "exec_start: sh -c exit 3",
        "exec_die 3",
        "exec_create: touch /ok",
        "exec_start: touch /ok",
        "exec_die 0",
    ];
    assert_eq!(told, expected);
    let ids: Vec<_> = execs.iter().map(|e| e["Actor"]["Attributes"]["execID"].as_str().expect("an id")).collect();
    assert!(ids[0] == ids[2] && ids[2] != ids[3] && ids[0].len() == 64);
    assert!(story(&t, &["-f", "event=health_status"]).contains("container health_status: unhealthy\n"));

    t.docker(&["run", "--name", "big", "--memory", "16m", "busybox", "sh", "-c", "tail /dev/zero"]).fails_with(137, "");
    assert_eq!(
        story(&t, &["-f", "container=big", "-f", "event=oom", "-f", "event=die"]),
        "container oom\ncontainer die"
    );
}

#[test]
fn images_are_told() {
    let t = Tenant::new("events");
    let began = log(&t, &[]).len();
    t.docker(&["tag", "busybox", "copy:v1"]).ok();
    t.docker(&["rmi", "copy:v1"]).ok();
    t.shell("docker save busybox | docker load").ok();
    let registry = registry();
    let remote = format!("{registry}/library/busybox:latest");
    t.docker(&["pull", "-q", &remote]).ok();
    let told = log(&t, &["-f", "type=image"]).split_off(began);
    let actions: Vec<_> = told.iter().map(|e| e["Action"].as_str().expect("action")).collect();
    assert_eq!(actions, ["tag", "untag", "save", "load", "pull"]);
    assert_eq!(told[0]["Actor"]["Attributes"]["name"], "copy:v1");
    assert!(told[1]["Actor"]["Attributes"]["name"] == told[1]["Actor"]["ID"]);
    assert_eq!(told[4]["Actor"]["ID"], remote.as_str());
    assert_eq!(told[4]["Actor"]["Attributes"]["name"], format!("{registry}/library/busybox").as_str());
    let imported = story(&t, &["-f", "image=busybox:latest", "-f", "type=image"]);
    assert!(imported.contains("image tag"), "{imported}");
}

#[test]
fn times_and_filters_cut_the_log() {
    let t = Tenant::new("events");
    t.docker(&["run", "-d", "--name", "aa", "--label", "role=web", "busybox", "true"]).ok();
    t.docker(&["run", "-d", "--name", "bb", "busybox", "true"]).ok();
    let told = log(&t, &["-f", "container=bb", "-f", "event=create"]);
    assert_eq!(told.len(), 1);
    let at = told[0]["timeNano"].as_i64().expect("time");
    let stamp = format!("{}.{:09}", at / 1_000_000_000, at % 1_000_000_000);
    let ask = |query: &str| {
        let (status, text) = t.http("GET", &format!("/events?{query}"), &[], "");
        assert_eq!(status, 200, "{text}");
        text.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON")).collect::<Vec<_>>()
    };
    let from = ask(&format!("since={stamp}&until=0s"));
    assert_eq!(from[0], serde_json::from_str::<Value>(&serde_json::to_string(&told[0]).expect("JSON")).expect("JSON"));
    let before = ask(&format!("since=0&until={stamp}"));
    assert_eq!(before.last().expect("some")["timeNano"].as_i64(), Some(at));
    eventually(10, "both ways tell the same", || ask("until=0s").len() == log(&t, &[]).len());
    assert!(log(&t, &["-f", "label=role=web"]).iter().all(|e| e["Actor"]["Attributes"]["name"] == "aa"));
    assert!(!story(&t, &["-f", "image=busybox", "-f", "event=start"]).is_empty());
    for nothing in ["daemon=x", "scope=swarm", "type=plugin", "volume=x", "container=nobody"] {
        assert_eq!(story(&t, &["-f", nothing]), "", "{nothing}");
    }
    let (status, message) = t.refused("GET", "/events?filters=%7B%22foo%22%3A%5B%22x%22%5D%7D&until=0s", "");
    assert_eq!((status, message.as_str()), (400, "invalid filter 'foo'"));
    let (status, message) = t.refused("GET", "/events?since=5000&until=200", "");
    assert_eq!((status, message.as_str()), (400, "`since` time (5000) cannot be after `until` time (200)"));
    let framed = |accept| t.http("GET", "/events?since=0&until=0s", &[("accept", accept)], "").1;
    assert!(framed("application/json-seq").lines().all(|l| l.starts_with('\u{1e}')));
    assert!(framed("application/x-ndjson").lines().all(|l| l.starts_with('{')));
}

/// `docker events`, followed in the background.
struct Follower {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Follower {
    fn of(t: &Tenant, args: &[&str]) -> Self {
        let mut child =
            t.docker_child(&[&["events", "--format", "{{.Action}} {{.Actor.Attributes.name}}"], args].concat());
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("an event")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn followers_hear_of_it_at_once_and_only_of_their_own() {
    let (t, other) = (Tenant::new("events"), Tenant::new("events"));
    let follower = Follower::of(&t, &["-f", "type=container"]);
    let foreign = Follower::of(&other, &["-f", "type=container"]);
    std::thread::sleep(Duration::from_secs(1));
    t.docker(&["create", "--name", "web", "busybox", "true"]).ok();
    let began = Instant::now();
    assert_eq!(follower.next(), "create web");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    t.docker(&["start", "-a", "web"]).ok();
    for action in ["attach", "start", "die"] {
        assert_eq!(follower.next(), format!("{action} web"));
    }
    other.docker(&["create", "--name", "own", "busybox", "true"]).ok();
    assert_eq!(foreign.next(), "create own");
    assert!(foreign.lines.try_recv().is_err() && follower.lines.recv_timeout(Duration::from_millis(500)).is_err());
    assert!(!story(&other, &[]).contains("start"));
}

#[test]
fn what_is_stored_and_what_comes_meet_without_a_gap() {
    let t = Tenant::new("events");
    let maker = std::thread::spawn({
        let (endpoint, client) = (t.endpoint.replace("tcp:", "https:"), t.client());
        move || {
            block_on(async {
                for n in 0..120 {
                    let url = format!("{endpoint}/images/busybox/tag?repo=copy&tag=v{n}");
                    assert_eq!(client.post(url).send().await.expect("an answer").status(), 201);
                }
            });
        }
    });
    let args = ["events", "--since", "2000-01-01", "-f", "event=tag", "--format", "{{.Actor.Attributes.name}}"];
    let expected: Vec<String> = (0..120).map(|n| format!("copy:v{n}")).collect();
    let followers: Vec<_> = (0..4)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(150));
            let mut child = t.docker_child(&args);
            let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
            let seen: Vec<String> = lines.filter(|l| l.starts_with("copy")).take(120).collect();
            let _ = child.kill();
            let _ = child.wait();
            seen
        })
        .collect();
    maker.join().expect("maker");
    for seen in followers {
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_stream_ends_at_its_time() {
    let t = Tenant::bare("events");
    let began = Instant::now();
    t.docker(&["events", "--until", "-2s"]).ok();
    assert!((1..8).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[test]
fn docker_py_reads_events() {
    let t = Tenant::new("events");
    let script = "
import docker, threading, time
c = docker.from_env()
seen = []
stream = c.events(decode=True, filters={'type': 'container'})
def read():
    for e in stream:
        seen.append(e['Action'])
        if e['Action'] == 'destroy': break
reader = threading.Thread(target=read); reader.start(); time.sleep(0.5)
c.containers.run('busybox', 'true', remove=True)
reader.join(20); stream.close()
print(seen)
print([e['Action'] for e in c.events(since=0, until=int(time.time()) + 1, decode=True, filters={'event': 'die'})])
";
    assert_eq!(t.python(script).ok(), "['create', 'start', 'die', 'destroy']\n['die']\n");
}
