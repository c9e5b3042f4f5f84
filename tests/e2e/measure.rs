//! What containers use and may use: `stats`, `update`, sizes, `container prune`, `system df`.

use serde_json::Value;

use crate::system::{Tenant, eventually};

fn json(t: &Tenant, path: &str) -> Value {
    let (status, text) = t.http("GET", path, &[], "");
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {text}: {e}"))
}

/// An attribute of the events of that kind, up to now. The client asks up to a whole second.
fn told(t: &Tenant, event: &str, attribute: &str) -> String {
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (filter, format) = (format!("event={event}"), format!("{{{{.Actor.Attributes.{attribute}}}}}"));
    t.docker(&["events", "--since", "10m", "--until", "0s", "--filter", &filter, "--format", &format]).ok()
}

#[test]
fn stats_of_a_busy_container() {
    let t = Tenant::new("stats");
    let busy = "while :; do :; done";
    t.docker(&["run", "-d", "--name", "busy", "--cpus", "0.5", "--memory", "64m", "busybox", "sh", "-c", busy]).ok();
    let format = "{{.Name}}|{{.CPUPerc}}|{{.MemUsage}}|{{.PIDs}}";
    let line = t.docker(&["stats", "--no-stream", "--format", format, "busy"]).ok();
    let fields: Vec<&str> = line.trim().split('|').collect();
    let [name, cpu, memory, pids] = fields[..] else { panic!("{line}") };
    let cpu: f64 = cpu.trim_end_matches('%').parse().expect("a percentage");
    assert!(cpu > 1.0 && cpu < 75.0, "half a CPU: {line}");
    assert_eq!((name, pids), ("busy", "1"), "{line}");
    assert!(memory.ends_with(" / 64MiB") && !memory.starts_with("0B"), "{line}");
    let sample = json(&t, "/containers/busy/stats?stream=false");
    assert_eq!(sample["name"], "/busy");
    assert_eq!(sample["cpu_stats"]["online_cpus"], 1, "the container's CPUs, not the host's");
    assert_eq!(sample["memory_stats"]["limit"], 64 << 20);
    assert!(sample["cpu_stats"]["throttling_data"]["throttled_periods"].as_u64() > Some(0), "{sample}");
    let usage = |which: &str| sample[which]["cpu_usage"]["total_usage"].as_u64().expect("a number");
    assert!(usage("cpu_stats") > usage("precpu_stats") && usage("precpu_stats") > 0, "{sample}");
    assert!(sample["networks"]["eth0"]["tx_packets"].is_u64() && sample["networks"].get("lo").is_none(), "{sample}");
    let once = json(&t, "/containers/busy/stats?stream=0&one-shot=1");
    assert_eq!(once["precpu_stats"]["cpu_usage"]["total_usage"], 0);
    assert!(once.get("name").is_none() && once["pids_stats"]["current"] == 1, "{once}");
}

#[test]
fn stats_is_a_stream_of_lines_and_knows_what_does_not_run() {
    let t = Tenant::new("stats");
    t.docker(&["create", "--name", "idle", "busybox", "true"]).ok();
    let idle = json(&t, "/containers/idle/stats?stream=false");
    assert_eq!((idle["read"].as_str(), idle["name"].as_str()), (Some("0001-01-01T00:00:00Z"), Some("/idle")));
    assert!(idle["memory_stats"].as_object().is_some_and(|m| m.is_empty()), "{idle}");
    let table = t.docker(&["stats", "--no-stream", "idle"]).ok();
    assert!(table.starts_with("CONTAINER ID") && table.contains("0B / 0B"), "{table}");
    t.docker(&["run", "-d", "--name", "up", "busybox", "sleep", "1000"]).ok();
    // Two watch the same container; each gets its line a second.
    let url = format!("{}/containers/up/stats", t.endpoint.replace("tcp:", "https:"));
    let tls = "--cacert $DOCKER_CERT_PATH/ca.pem --cert $DOCKER_CERT_PATH/cert.pem --key $DOCKER_CERT_PATH/key.pem";
    let script = format!("timeout 5 curl -sN {tls} {url} | tail -n +2 & timeout 5 curl -sN {tls} {url}; wait");
    let lines = t.shell(&script).out;
    let reads: Vec<Value> = lines.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    assert!(reads.len() >= 4 && reads.iter().all(|r| r["name"] == "/up"), "{lines}");
    assert_eq!(t.refused("GET", "/containers/up/stats?stream=1&one-shot=1", "").0, 400);
    assert_eq!(t.refused("GET", "/containers/nope/stats", ""), (404, "No such container: nope".to_owned()));
    assert_eq!(Tenant::bare("stats").refused("GET", "/containers/up/stats", "").0, 404);
}

#[test]
fn an_update_holds_at_once_and_over_a_restart() {
    let t = Tenant::new("update");
    t.docker(&["run", "-d", "--name", "web", "--memory", "64m", "busybox", "sleep", "1000"]).ok();
    let limit = || json(&t, "/containers/web/stats?stream=0&one-shot=1")["memory_stats"]["limit"].as_i64();
    t.docker(&["update", "--memory", "48m", "--memory-swap", "48m", "--restart", "unless-stopped", "web"]).ok();
    t.docker(&["update", "--cpus", "0.5", "--pids-limit", "50", "web"]).ok();
    let shown = t.inspect("web")["HostConfig"].clone();
    assert_eq!((shown["Memory"].as_i64(), shown["NanoCpus"].as_i64()), (Some(48 << 20), Some(500_000_000)));
    assert_eq!(
        (shown["PidsLimit"].as_i64(), shown["RestartPolicy"]["Name"].as_str()),
        (Some(50), Some("unless-stopped"))
    );
    assert_eq!(limit(), Some(48 << 20));
    assert_eq!(told(&t, "update", "name"), "web\nweb\n");
    t.docker(&["restart", "-t", "0", "web"]).ok();
    assert_eq!(limit(), Some(48 << 20), "the next run has it too");
    let pids = json(&t, "/containers/web/stats?stream=0&one-shot=1")["pids_stats"]["limit"].as_i64();
    assert_eq!(pids, Some(50));
}

#[test]
fn an_updated_restart_policy_counts_for_the_run_that_goes_on() {
    let t = Tenant::new("update");
    t.docker(&["run", "-d", "--name", "flaky", "busybox", "sh", "-c", "sleep 2; exit 3"]).ok();
    t.docker(&["update", "--restart", "on-failure:1", "flaky"]).ok();
    eventually(20, "restarted once and given up", || {
        let seen = t.inspect("flaky");
        seen["RestartCount"] == 1 && seen["State"]["Status"] == "exited"
    });
    t.docker(&["run", "-d", "--name", "kept", "--restart", "always", "busybox", "sleep", "2"]).ok();
    t.docker(&["update", "--restart", "no", "kept"]).ok();
    eventually(20, "ended for good", || t.inspect("kept")["State"]["Status"] == "exited");
    assert_eq!(t.inspect("kept")["RestartCount"], 0);
}

#[test]
fn an_update_that_cannot_be_changes_nothing() {
    let t = Tenant::new("update");
    t.docker(&["run", "-d", "--rm", "--name", "web", "--memory", "64m", "busybox", "sleep", "1000"]).ok();
    let update = |body: &str| t.refused("POST", "/containers/web/update", body);
    let before = t.inspect("web")["HostConfig"].clone();
    assert_eq!(update(r#"{"Memory":1000}"#), (400, "Minimum memory limit allowed is 6MB".to_owned()));
    assert_eq!(update(r#"{"Memory":9000000000000000}"#).0, 403);
    assert_eq!(update(r#"{"CpusetCpus":"0"}"#).0, 403);
    assert_eq!(
        update(r#"{"RestartPolicy":{"Name":"foo"}}"#).1,
        "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    );
    let (status, text) = update(r#"{"RestartPolicy":{"Name":"always"}}"#);
    assert_eq!(status, 409);
    assert!(
        text.ends_with("Restart policy cannot be updated because AutoRemove is enabled for the container"),
        "{text}"
    );
    assert!(text.starts_with("Cannot update container "), "{text}");
    // More than it uses cannot be taken from it, where the kernel says so.
    t.docker(&["exec", "web", "sh", "-c", "head -c 20000000 /dev/zero >/dev/shm/x"]).ok();
    let (status, text) =
        t.http("POST", "/containers/web/update", &[("content-type", "application/json")], r#"{"Memory":7000000}"#);
    if status == 200 {
        return; // cgroup v2 takes it and kills
    }
    assert_eq!(status, 409, "{text}");
    assert_eq!(t.inspect("web")["HostConfig"], before);
    t.docker(&["update", "--memory", "80m", "web"]).ok();
    assert_eq!(t.refused("POST", "/containers/nope/update", "{}").0, 404);
}

#[test]
fn sizes_are_what_the_containers_wrote() {
    let t = Tenant::new("size");
    t.docker(&["run", "--name", "once", "busybox", "sh", "-c", "head -c 5000 /dev/zero >/f; mkdir -p /d/e; ln /f /g"])
        .ok();
    let inspect = t.docker(&["inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "once"]).ok();
    let (rw, root) = inspect.trim().split_once(' ').expect("two numbers");
    assert_eq!(rw, "5000", "right after the end of the run");
    let image = t.docker(&["image", "inspect", "-f", "{{.Size}}", "busybox"]).ok();
    assert_eq!(root.parse::<u64>().ok(), image.trim().parse::<u64>().ok().map(|n| n + 5000));
    let line = t.docker(&["ps", "-as", "--format", "{{.Size}}"]).ok();
    assert!(line.starts_with("5kB (virtual "), "{line}");
    t.docker(&["run", "-d", "--name", "up", "busybox", "sleep", "1000"]).ok();
    let size = || t.docker(&["ps", "-s", "-f", "name=up", "--format", "{{.Size}}"]).ok();
    assert!(size().starts_with("0B (virtual "), "{}", size());
    t.docker(&["exec", "up", "sh", "-c", "head -c 70000 /dev/zero >/f"]).ok();
    eventually(10, "the exec's file is measured", || size().starts_with("70kB "));
}

#[test]
fn prune_takes_what_does_not_run_and_tells_what_it_held() {
    let t = Tenant::new("prune");
    let write = "head -c 3000 /dev/zero >/f";
    t.docker(&["run", "--name", "gone", "--label", "p=1", "busybox", "sh", "-c", write]).ok();
    t.docker(&["create", "--name", "kept", "--label", "p=1", "--label", "keep", "busybox", "true"]).ok();
    t.docker(&["create", "--name", "other", "busybox", "true"]).ok();
    t.docker(&["run", "-d", "--name", "up", "--label", "p=1", "busybox", "sleep", "1000"]).ok();
    let id = t.inspect("gone")["Id"].as_str().expect("id").to_owned();
    let out = t.docker(&["container", "prune", "-f", "--filter", "label=p=1", "--filter", "label!=keep"]).ok();
    assert_eq!(out, format!("Deleted Containers:\n{id}\n\nTotal reclaimed space: 3kB\n"));
    let names = || {
        let out = t.docker(&["ps", "-a", "--format", "{{.Names}}"]).ok();
        let mut names: Vec<String> = out.lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names(), "kept other up");
    assert_eq!(told(&t, "prune", "reclaimed"), "3000\n");
    assert_eq!(t.docker(&["container", "prune", "-f", "--filter", "until=1h"]).ok(), "Total reclaimed space: 0B\n");
    assert_eq!(
        t.refused("POST", r#"/containers/prune?filters={"name":["up"]}"#, ""),
        (400, "invalid filter 'name'".to_owned())
    );
    let (_, text) = t.http("POST", "/containers/prune", &[], "");
    assert!(text.contains(r#""SpaceReclaimed":0"#) && names() == "up", "{text}");
    let (_, text) = t.http("POST", "/containers/prune", &[], "");
    assert_eq!(text.trim(), r#"{"ContainersDeleted":null,"SpaceReclaimed":0}"#);
}

#[test]
fn system_df_tells_of_the_tenants_own() {
    let t = Tenant::new("df");
    t.docker(&["run", "--name", "once", "busybox", "sh", "-c", "head -c 4000 /dev/zero >/f"]).ok();
    let out = t
        .docker(&["system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}"])
        .ok();
    assert!(out.contains("Images|1|1|") && out.contains("Containers|1|0|4kB|4kB (100%)"), "{out}");
    assert!(out.contains("Local Volumes|0|") && out.contains("Build Cache|0|"), "{out}");
    let verbose = t.docker(&["system", "df", "-v"]).ok();
    assert!(verbose.contains("busybox") && verbose.contains("once"), "{verbose}");
    let df = json(&t, "/system/df?type=container");
    assert!(df["Images"].is_null() && df["Volumes"].is_null() && df["BuildCache"].is_null(), "{df}");
    assert_eq!((df["LayersSize"].as_i64(), df["Containers"][0]["SizeRw"].as_i64()), (Some(0), Some(4000)));
    let df = json(&t, "/system/df?type=image&type=volume");
    assert!(df["Containers"].is_null() && df["Volumes"].is_array(), "{df}");
    assert_eq!(df["Images"][0]["Containers"], 1);
    assert_eq!(df["LayersSize"], df["Images"][0]["Size"]);
    assert_eq!(t.refused("GET", "/system/df?type=foo", ""), (400, "unknown object type: foo".to_owned()));
    assert_eq!(json(&Tenant::bare("df"), "/system/df")["Containers"].as_array().map(Vec::len), Some(0));
}

#[test]
fn ps_shows_exposed_ports_of_what_runs_on_a_network() {
    let t = Tenant::new("ps");
    t.docker(&["run", "-d", "--name", "web", "--expose", "80", "--expose", "53/udp", "busybox", "sleep", "1000"]).ok();
    t.docker(&["run", "-d", "--name", "alone", "--network", "none", "--expose", "80", "busybox", "sleep", "1000"]).ok();
    let ports = |name: &str| t.docker(&["ps", "-a", "-f", &format!("name={name}"), "--format", "{{.Ports}}"]).ok();
    let web = ports("web");
    assert!(web.contains("80/tcp") && web.contains("53/udp"), "{web}");
    assert_eq!(ports("alone").trim(), "");
    t.docker(&["kill", "web"]).ok();
    eventually(5, "no ports of what has ended", || ports("web").trim().is_empty());
}

#[test]
fn a_container_that_takes_too_much_memory_is_killed_and_says_why() {
    let t = Tenant::new("oom");
    t.docker(&["run", "--name", "hog", "--memory", "16m", "busybox", "tail", "/dev/zero"]).fails_with(137, "");
    let state = t.inspect("hog")["State"].clone();
    assert_eq!((state["OOMKilled"].as_bool(), state["ExitCode"].as_i64()), (Some(true), Some(137)), "{state}");
    t.docker(&["run", "-d", "--name", "meek", "busybox", "sleep", "1000"]).ok();
    t.docker(&["kill", "meek"]).ok();
    eventually(10, "killed by hand", || t.inspect("meek")["State"]["ExitCode"] == 137);
    assert_eq!(t.inspect("meek")["State"]["OOMKilled"], false);
}

#[test]
fn info_tells_the_hosts_version_of_cgroups() {
    let t = Tenant::bare("info");
    let version = if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "2" } else { "1" };
    assert_eq!(json(&t, "/info")["CgroupVersion"], version);
}
