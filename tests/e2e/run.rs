//! `docker run`: output, stdin, exit codes, what the process finds around it.

use crate::system::{Tenant, eventually};

#[test]
fn run_prints_and_returns_the_exit_code() {
    let t = Tenant::new("run");
    assert_eq!(t.docker(&["run", "--rm", "busybox", "echo", "hello world"]).ok(), "hello world\n");
    let done = t.docker(&["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 37"]);
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (37, "out\n", "err\n"));
    assert_eq!(t.docker(&["ps", "-aq"]).ok(), "", "--rm leaves nothing");
}

#[test]
fn a_command_that_is_missing_or_not_executable_gives_127_and_126() {
    let t = Tenant::new("run");
    t.docker(&["run", "--rm", "busybox", "/nonesuch"]).fails_with(127, "/nonesuch: no such file or directory");
    t.docker(&["run", "--rm", "busybox", "/etc"]).fails_with(126, "permission denied");
    assert_eq!(t.docker(&["ps", "-aq"]).ok(), "", "a failed start with --rm leaves nothing");
}

#[test]
fn a_refused_create_gives_125() {
    let t = Tenant::new("run");
    t.docker(&["run", "--rm", "--privileged", "busybox", "true"]).fails_with(125, "policy P01");
    t.docker(&["run", "--rm", "--pid", "host", "busybox", "true"]).fails_with(125, "policy P07");
    t.docker(&["run", "--rm", "-v", "/etc:/x", "busybox", "true"]).fails_with(125, "policy M01");
}

#[test]
fn stdin_is_delivered_and_its_end_too() {
    let t = Tenant::new("run");
    assert_eq!(t.docker_with_stdin(&["run", "-i", "--rm", "busybox", "cat"], b"a\nb\n").ok(), "a\nb\n");
    let big = vec![0u8; 3_000_000];
    assert_eq!(t.docker_with_stdin(&["run", "-i", "--rm", "busybox", "wc", "-c"], &big).ok().trim(), "3000000");
}

#[test]
fn binary_output_arrives_whole() {
    let t = Tenant::new("run");
    let script = "docker run --rm busybox sh -c 'head -c 20000000 /dev/urandom | tee /tmp/f; sha256sum /tmp/f >&2' 2>sum$$ | sha256sum | cut -c1-64; cut -c1-64 sum$$; rm sum$$";
    let out = t.shell(&format!("cd $(mktemp -d); {script}")).ok();
    let sums: Vec<&str> = out.lines().collect();
    assert_eq!(sums.len(), 2, "{out}");
    assert_eq!(sums[0], sums[1]);
}

/// As images do that link their log files to `/dev/stdout`, and Compose applications that write to another process's.
#[test]
fn the_output_can_be_opened_by_its_path() {
    let t = Tenant::new("run");
    let script = "echo out >/dev/stdout; echo err >/dev/stderr";
    for options in [&["--rm"][..], &["--rm", "-i"], &["--rm", "-u", "1000"], &["--rm", "-i", "-u", "1000:2000"]] {
        let done = t.docker(&[&["run"], options, &["busybox", "sh", "-c", script]].concat());
        assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "out\n", "err\n"), "{options:?}");
    }
    t.docker(&["run", "-d", "--name", "first", "busybox", "sleep", "1000"]).ok();
    for options in [&[][..], &["-i"], &["-u", "1000"]] {
        let done = t.docker(&[&["exec"], options, &["first", "sh", "-c", script]].concat());
        assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "out\n", "err\n"), "{options:?}");
    }
    t.docker(&["exec", "first", "sh", "-c", "echo from an exec >/proc/1/fd/1"]).ok();
    eventually(5, "the line is in the log", || t.docker(&["logs", "first"]).ok() == "from an exec\n");
    // Another user's are as closed as anywhere.
    t.docker(&["exec", "-u", "1000", "first", "sh", "-c", "echo no >/proc/1/fd/1"]).fails_with(1, "Permission denied");
}

#[test]
fn a_terminal_has_the_size_of_the_client() {
    let t = Tenant::new("run");
    let done =
        t.terminal("stty rows 33 cols 99; docker run -it --rm busybox sh -c 'sleep 0.5; tty; stty size; exit 5'");
    assert_eq!(done.code, 5, "{done:?}");
    assert!(done.out.contains("/dev/pts/0") && done.out.contains("33 99"), "{done:?}");
}

#[test]
fn environment_directory_and_user_are_as_asked() {
    let t = Tenant::new("run");
    let run = |args: &[&str]| t.docker(&[&["run", "--rm"], args].concat()).ok();
    assert_eq!(run(&["-e", "A=1", "busybox", "sh", "-c", "echo $A"]), "1\n");
    assert_eq!(run(&["-w", "/newdir", "busybox", "pwd"]), "/newdir\n");
    assert_eq!(run(&["-u", "1234:4321", "busybox", "sh", "-c", "id -u; id -g"]), "1234\n4321\n");
    assert_eq!(run(&["-u", "nobody", "busybox", "id", "-u"]), "65534\n");
    assert_eq!(run(&["-h", "cghost", "busybox", "hostname"]), "cghost\n");
    t.docker(&["run", "--rm", "-u", "nosuchuser", "busybox", "true"])
        .fails_with(125, "unable to find user nosuchuser: no matching entries in passwd file");
}

#[test]
fn the_process_is_contained() {
    let t = Tenant::new("run");
    let status = t.docker(&["run", "--rm", "busybox", "cat", "/proc/self/status", "/proc/self/uid_map"]).ok();
    assert!(status.contains("CapEff:\t00000000a80425fb"), "Docker's fourteen capabilities: {status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    let map: Vec<&str> = status.lines().last().expect("uid_map").split_whitespace().collect();
    assert_eq!((map[0], map[2]), ("0", "65536"));
    assert!(map[1].parse::<u64>().expect("a uid") >= 100_000, "root inside is nobody outside: {map:?}");
    let masked = t.docker(&[
        "run",
        "--rm",
        "busybox",
        "sh",
        "-c",
        "cat /proc/kcore | wc -c; echo x > /proc/sys/kernel/hostname",
    ]);
    assert!(masked.out.starts_with("0\n"), "{masked:?}");
    assert_ne!(masked.code, 0, "/proc/sys is read-only");
}

#[test]
fn limits_are_the_kernel_s() {
    let t = Tenant::new("run");
    let read = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true";
    assert_eq!(t.docker(&["run", "--rm", "-m", "64m", "busybox", "sh", "-c", read]).ok(), "67108864\n");
    t.docker(&[
        "run",
        "--name",
        "oom",
        "-m",
        "16m",
        "busybox",
        "sh",
        "-c",
        "dd if=/dev/zero of=/dev/null bs=64M count=1",
    ])
    .fails_with(137, "");
    let state = &t.inspect("oom")["State"];
    assert_eq!((state["OOMKilled"].as_bool(), state["ExitCode"].as_i64()), (Some(true), Some(137)));
}

#[test]
fn a_signal_reaches_the_process_through_the_attached_client() {
    let t = Tenant::new("run");
    let script = "trap 'echo got; exit 9' TERM; echo up; while :; do sleep .1; done";
    let child = t.docker_child(&["run", "--rm", "--name", "sp", "busybox", "sh", "-c", script]);
    eventually(20, "the trap is set", || t.docker(&["logs", "sp"]).out.contains("up"));
    t.docker(&["kill", "-s", "TERM", "sp"]).ok();
    let out = child.wait_with_output().expect("docker ends");
    assert_eq!(out.status.code(), Some(9));
    assert_eq!(String::from_utf8_lossy(&out.stdout), "up\ngot\n");
}

#[test]
fn detached_runs_go_on_by_themselves() {
    let t = Tenant::new("run");
    let id = t.docker(&["run", "-d", "--name", "d1", "busybox", "sleep", "1000"]).ok();
    assert_eq!(id.trim().len(), 64);
    assert_eq!(t.docker(&["inspect", "-f", "{{.State.Status}}", "d1"]).ok(), "running\n");
    t.docker(&["run", "-d", "--name", "d1", "busybox", "true"]).fails_with(125, "is already in use by container");
}

#[test]
fn an_image_that_is_not_there_is_pulled_or_refused() {
    let t = Tenant::bare("run");
    t.docker(&["run", "--rm", "--pull", "never", "nonesuch", "true"]).fails_with(125, "No such image: nonesuch:latest");
}
