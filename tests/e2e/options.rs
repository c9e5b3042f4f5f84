//! Flags of `create` one by one: what is accepted is what the container has.

use crate::system::Tenant;

#[test]
fn log_options_choose_what_details_show() {
    let t = Tenant::new("log");
    let options = [
        "run",
        "--name",
        "web",
        "--log-opt",
        "labels=a,b",
        "--log-opt",
        "labels-regex=^x",
        "--log-opt",
        "env=E",
        "--log-opt",
        "env-regex=^F",
        "--log-opt",
        "tag={{.Name}}",
        "-l",
        "a=1",
        "-l",
        "xy=2",
        "-e",
        "E=3",
        "-e",
        "FOO=4",
        "busybox",
        "echo",
        "hi",
    ];
    t.docker(&options).ok();
    assert_eq!(t.docker(&["logs", "--details", "web"]).ok(), "E=3,FOO=4,a=1,tag=web,xy=2 hi\n");
    t.docker(&["run", "--name", "mute", "--log-driver", "none", "busybox", "echo", "hi"]).ok();
    t.docker(&["logs", "mute"]).fails_with(1, "configured logging driver does not support reading");
    t.docker(&["run", "--name", "local", "--log-driver", "local", "busybox", "echo", "hi"]).ok();
    assert_eq!(t.docker(&["logs", "local"]).ok(), "hi\n");
    t.docker(&[
        "run",
        "--name",
        "free",
        "--log-opt",
        "mode=non-blocking",
        "--log-opt",
        "max-buffer-size=1m",
        "busybox",
        "echo",
        "hi",
    ])
    .ok();
    assert_eq!(t.docker(&["logs", "free"]).ok(), "hi\n");
}

#[test]
fn old_lines_go_when_the_files_are_full() {
    let t = Tenant::new("log");
    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done";
    t.docker(&["run", "--name", "one", "--log-opt", "max-size=8k", "busybox", "sh", "-c", script]).ok();
    t.docker(&["run", "--name", "all", "busybox", "sh", "-c", script]).ok();
    let lines = |name: &str| t.docker(&["logs", name]).ok().lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines("all").len(), 2000);
    let kept = lines("one");
    assert!(kept.len() < 1500 && kept.last().is_some_and(|l| l == "line 1999"), "{}", kept.len());
}

#[test]
fn wrong_log_options_are_refused_in_dockerds_words() {
    let t = Tenant::new("log");
    for (options, text) in [
        (&["--log-opt", "foo=1"][..], "unknown log opt 'foo' for json-file log driver"),
        (&["--log-driver", "local", "--log-opt", "labels=a"], "unknown log opt 'labels' for log driver local"),
        (&["--log-opt", "max-size=0"], "max-size must be a positive number"),
        (&["--log-opt", "max-size=x"], "invalid size: 'x'"),
        (&["--log-opt", "max-file=0"], "max-file cannot be less than 1"),
        (&["--log-opt", "compress=maybe"], "strconv.ParseBool: parsing \"maybe\": invalid syntax"),
        (
            &["--log-opt", "compress=true"],
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        (&["--log-opt", "mode=foo"], "logger: logging mode not supported: foo"),
        (
            &["--log-opt", "max-buffer-size=1m"],
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        (&["--log-opt", "labels-regex=("], "error parsing regexp"),
        (&["--log-driver", "syslog"], "R13"),
    ] {
        t.docker(&[&["run"][..], options, &["busybox", "true"]].concat()).fails_with(125, text);
    }
    let text =
        "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'";
    t.docker(&["run", "--restart", "foo", "busybox", "true"]).fails_with(125, text);
}

#[test]
fn names_and_hosts_of_a_container() {
    let t = Tenant::new("opt");
    let script = "hostname; cat /proc/sys/kernel/domainname; grep -c 'h1.example.org' /etc/hosts; grep db /etc/hosts; \
        grep -E 'search|options' /etc/resolv.conf";
    let out = t.docker(&[
        "run",
        "--rm",
        "--hostname",
        "h1",
        "--domainname",
        "example.org",
        "--add-host",
        "db:10.1.2.3",
        "--dns-search",
        "corp.test",
        "--dns-option",
        "ndots:3",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    let out = out.ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..4], ["h1", "example.org", "1", "10.1.2.3\tdb"], "{out}");
    assert!(out.contains("search corp.test") && out.contains("ndots:3"), "{out}");
}

#[test]
fn files_processes_and_users_of_a_container() {
    let t = Tenant::new("opt");
    let run = |options: &[&str], script: &str| {
        t.docker(&[&["run", "--rm"][..], options, &["busybox", "sh", "-c", script]].concat()).ok()
    };
    let out =
        run(&["--read-only", "--tmpfs", "/t:size=1m,mode=1777"], "touch /x 2>&1; touch /t/x && df -k /t | tail -1");
    assert!(out.contains("Read-only file system") && out.contains("1024"), "{out}");
    assert!(run(&["--shm-size", "8m"], "df -k /dev/shm | tail -1").contains("8192"));
    assert_eq!(run(&["--ulimit", "nofile=500:600"], "ulimit -Sn; ulimit -Hn"), "500\n600\n");
    assert_eq!(run(&["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward"), "1\n");
    assert_eq!(run(&["--user", "1000:1001", "--group-add", "1002"], "id -u; id -g; id -G"), "1000\n1001\n1001 1002\n");
    assert_eq!(run(&["--init"], "cat /proc/1/comm").lines().last().map(|l| l.contains("init")), Some(true));
    let file = std::env::temp_dir().join(format!("wharfinger-env-{}", std::process::id()));
    std::fs::write(&file, "A=1\n# not this\nB=two words\n").expect("env file");
    let path = file.to_str().expect("UTF-8");
    assert_eq!(run(&["--env-file", path, "-e", "A=9"], "echo $A $B"), "9 two words\n");
    std::fs::remove_file(&file).expect("clean");
    let id = t.docker(&["create", "--cidfile", path, "busybox", "true"]).ok();
    assert_eq!(std::fs::read_to_string(&file).expect("id file"), id.trim());
    std::fs::remove_file(&file).expect("clean");
    t.docker(&["run", "--platform", "linux/s390x", "busybox", "true"]).fails_with(125, "");
}

#[test]
fn stop_signal_and_timeout_are_the_containers_own() {
    let t = Tenant::new("opt");
    let script = "trap 'echo got usr1; exit 7' USR1; while :; do sleep 0.1; done";
    t.docker(&["run", "-d", "--name", "own", "--stop-signal", "USR1", "busybox", "sh", "-c", script]).ok();
    t.docker(&[
        "run",
        "-d",
        "--name",
        "short",
        "--stop-timeout",
        "1",
        "busybox",
        "sh",
        "-c",
        "trap '' TERM; while :; do sleep 0.1; done",
    ])
    .ok();
    t.docker(&["stop", "own"]).ok();
    assert_eq!(
        (t.inspect("own")["State"]["ExitCode"].as_i64(), t.docker(&["logs", "own"]).ok().as_str()),
        (Some(7), "got usr1\n")
    );
    let begun = std::time::Instant::now();
    t.docker(&["stop", "short"]).ok();
    assert!(begun.elapsed().as_secs() < 8, "its own timeout of 1 s");
    assert_eq!(t.inspect("short")["State"]["ExitCode"], 137);
}

#[test]
fn added_groups_are_the_containers_and_of_every_exec_in_it() {
    let t = Tenant::new("opt");
    let groups = |options: &[&str]| t.docker(&[&["run", "--rm"][..], options, &["busybox", "id", "-G"]].concat()).ok();
    // The image has root in wheel (10).
    assert_eq!(groups(&["--group-add", "1002"]), "0 10 1002\n");
    assert_eq!(groups(&["-u", "nobody", "--group-add", "wheel", "--group-add", "1002"]), "65534 10 1002\n");
    assert_eq!(groups(&["-u", "nobody:wheel", "--group-add", "wheel"]), "10\n");
    t.docker(&["run", "--rm", "--group-add", "nosuch", "busybox", "id"]).fails_with(125, "nable to find group nosuch");

    let options = ["run", "-d", "--name", "box", "-u", "1000:1001", "--group-add", "1002", "--group-add", "wheel"];
    t.docker(&[&options[..], &["busybox", "sleep", "1000"]].concat()).ok();
    assert_eq!(t.inspect("box")["HostConfig"]["GroupAdd"], serde_json::json!(["1002", "wheel"]));
    let exec = |options: &[&str], command: &[&str]| t.docker(&[&["exec"][..], options, &["box"], command].concat());
    let id = |options: &[&str]| exec(options, &["id", "-G"]).ok();
    assert_eq!(id(&[]), "1001 10 1002\n");
    assert_eq!(id(&["-u", "nobody"]), "65534 10 1002\n");
    assert_eq!(id(&["-u", "root"]), "0 10 1002\n");
    assert_eq!(id(&["-u", "2000:2001"]), "2001 10 1002\n");
    // `id` names the primary group anyway; the kernel must have it among the others too.
    let status = exec(&["-u", "nobody"], &["grep", "Groups", "/proc/self/status"]).ok();
    assert_eq!(status.split_whitespace().collect::<Vec<_>>(), ["Groups:", "10", "1002", "65534"]);
    // With the user's own groups, as the container's file has them now, unless a group is named.
    exec(&["-u", "root"], &["sh", "-c", "echo team:x:1500:nobody >>/etc/group"]).ok();
    assert_eq!(id(&["-u", "nobody"]), "65534 10 1002 1500\n");
    assert_eq!(id(&["-u", "nobody:team"]), "1500 10 1002\n");
}
