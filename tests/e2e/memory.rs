//! attach, exec and logs at full speed: nothing is lost, and no role holds more than a little of what passes.
//!
//! Runs alone: the memory of a role is that of all its tenants.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    time::Duration,
};

use crate::system::{Tenant, roles};

const BLOCK_BYTES: usize = 1 << 20;
/// Of each stream; `WHARFINGER_E2E_STREAM_MIB=1024` is the whole measure.
const MIB: usize = 192;
const GROWTH_MAX_KIB: u64 = 64 << 10;

fn mebibytes() -> usize {
    std::env::var("WHARFINGER_E2E_STREAM_MIB").ok().and_then(|n| n.parse().ok()).unwrap_or(MIB)
}

/// A value of `/proc/<pid>/status` in KiB.
fn status_kib(pid: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a role's status");
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key} is not in {text}"));
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// Each role's memory now; the kernel's high-water mark starts anew.
fn baseline() -> Vec<(String, u32, u64)> {
    let with_memory = roles().into_iter().filter(|(role, _)| role != "postgres").map(|(role, pid)| {
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the high-water mark is reset");
        (role, pid, status_kib(pid, "VmRSS:"))
    });
    with_memory.collect()
}

fn assert_small(what: &str, baseline: &[(String, u32, u64)]) {
    for (role, pid, before) in baseline {
        let grown = status_kib(*pid, "VmHWM:").saturating_sub(*before);
        println!("{what}: {role} grew by {grown} KiB from {before}");
        assert!(grown < GROWTH_MAX_KIB, "{what}: {role} grew by {grown} KiB");
    }
}

/// What `docker args...` printed: the sum of its stdout, and the text on stderr, which is the container's own sum of it.
/// `slow`: with a long pause first and short ones after, so that everything on the way fills up.
fn sums(t: &Tenant, args: &[&str], slow: bool) -> (String, String) {
    let mut docker = t.docker_child(args);
    drop(docker.stdin.take());
    let mut from = docker.stdout.take().expect("piped");
    let mut command = Command::new("sha256sum");
    let mut sha = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum");
    let mut to = sha.stdin.take().expect("piped");
    let mut buffer = vec![0; BLOCK_BYTES];
    let (mut read, mut rested) = (0, 0);
    if slow {
        std::thread::sleep(Duration::from_secs(3));
    }
    loop {
        let n = from.read(&mut buffer).expect("read");
        if n == 0 {
            break;
        }
        to.write_all(&buffer[..n]).expect("write");
        read += n;
        if slow && read / (16 * BLOCK_BYTES) > rested {
            rested = read / (16 * BLOCK_BYTES);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    drop(to);
    let done = docker.wait_with_output().expect("docker ends");
    assert!(done.status.success(), "{done:?}");
    assert_eq!(read, mebibytes() * (BLOCK_BYTES + 8));
    let sum = sha.wait_with_output().expect("sha256sum").stdout;
    (String::from_utf8_lossy(&sum).into_owned(), String::from_utf8_lossy(&done.stderr).into_owned())
}

/// Numbered blocks of one random mebibyte, so that neither loss nor order nor repetition can hide; their sum on stderr.
fn script() -> String {
    let blocks = mebibytes();
    format!(
        "dd if=/dev/urandom of=/tmp/r bs=1M count=1 2>/dev/null; \
         gen() {{ i=0; while [ $i -lt {blocks} ]; do printf '%07d\\n' $i; cat /tmp/r; i=$((i+1)); done; }}; \
         gen | sha256sum >&2; gen"
    )
}

/// The same stream by a fast and by a slow reader. `prepare` makes the container `c1`; then `args` print its output.
fn through(what: &str, prepare: impl Fn(&Tenant), args: &[&str]) {
    let t = Tenant::new("memory");
    for slow in [false, true] {
        let label = format!("{what}, {} reader", if slow { "slow" } else { "fast" });
        prepare(&t);
        let before = baseline();
        let (received, sent) = sums(&t, args, slow);
        assert_small(&label, &before);
        assert_eq!(received, sent, "{label}");
        t.docker(&["rm", "-f", "c1"]).ok();
    }
}

#[test]
fn attach() {
    let prepare = |t: &Tenant| drop(t.docker(&["create", "--name", "c1", "busybox", "sh", "-c", &script()]).ok());
    through("attach", prepare, &["start", "-a", "c1"]);
}

#[test]
fn exec() {
    let prepare = |t: &Tenant| drop(t.docker(&["run", "-d", "--name", "c1", "busybox", "sleep", "100000"]).ok());
    through("exec", prepare, &["exec", "c1", "sh", "-c", &script()]);
}

#[test]
fn logs() {
    let prepare = |t: &Tenant| {
        t.docker(&["run", "-d", "--name", "c1", "busybox", "sh", "-c", &script()]).ok();
        assert_eq!(t.docker(&["wait", "c1"]).ok(), "0\n");
    };
    through("logs", prepare, &["logs", "c1"]);
}
