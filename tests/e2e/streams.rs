//! attach and the raw protocol of hijacked connections.

use std::io::{Read, Write};

use crate::system::{Tenant, eventually};

#[test]
fn attach_sees_what_comes_and_writes_stdin() {
    let t = Tenant::new("attach");
    t.docker(&["run", "-d", "-i", "--name", "a1", "busybox", "cat"]).ok();
    let mut child = t.docker_child(&["attach", "a1"]);
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = child.stdout.take().expect("piped");
    stdin.write_all(b"first\n").expect("write");
    let mut buffer = [0u8; 6];
    stdout.read_exact(&mut buffer).expect("echo");
    assert_eq!(&buffer, b"first\n");
    t.docker(&["kill", "a1"]).ok();
    assert_eq!(child.wait().expect("docker ends").code(), Some(137));
}

#[test]
fn detach_keys_leave_the_container_alone() {
    let t = Tenant::new("attach");
    t.docker(&["run", "-d", "-it", "--name", "d1", "busybox", "sh"]).ok();
    let done = t.terminal("(sleep 1; printf '\\020\\021') | script -qec 'docker attach d1' /dev/null");
    let text = done.out.clone() + &done.err;
    assert!(text.contains("read escape sequence") || done.code == 0, "{done:?}");
    assert_eq!(t.docker(&["inspect", "-f", "{{.State.Running}}", "d1"]).ok(), "true\n");
}

#[test]
fn a_client_that_leaves_costs_the_container_nothing() {
    let t = Tenant::new("attach");
    let script = "i=0; while [ $i -lt 100 ]; do echo $i; i=$((i+1)); sleep 0.02; done";
    let mut child = t.docker_child(&["run", "--name", "g1", "busybox", "sh", "-c", script]);
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_exact(&mut [0u8; 4]).expect("some output");
    child.kill().expect("the client is killed");
    child.wait().expect("reaped");
    eventually(30, "it ends by itself", || t.docker(&["inspect", "-f", "{{.State.Status}}", "g1"]).out == "exited\n");
    assert_eq!(t.docker(&["inspect", "-f", "{{.State.ExitCode}}", "g1"]).ok(), "0\n");
    assert_eq!(t.docker(&["logs", "g1"]).ok().lines().count(), 100);
}

#[test]
fn a_hundred_mebibytes_through_attach_and_exec() {
    let t = Tenant::new("attach");
    let dd = "dd if=/dev/zero bs=1M count=100 2>/dev/null";
    assert_eq!(t.shell(&format!("docker run --rm busybox sh -c '{dd}' | wc -c")).ok().trim(), "104857600");
    t.docker(&["run", "-d", "--name", "x1", "busybox", "sleep", "1000"]).ok();
    assert_eq!(t.shell(&format!("docker exec x1 sh -c '{dd}' | wc -c")).ok().trim(), "104857600");
}

#[test]
fn a_slow_client_of_an_exec_loses_nothing() {
    let t = Tenant::new("attach");
    t.docker(&["run", "-d", "--name", "x1", "busybox", "sleep", "1000"]).ok();
    let dd = "dd if=/dev/zero bs=1M count=8 2>/dev/null";
    let out = t.shell(&format!("docker exec x1 sh -c '{dd}' | (sleep 5; wc -c)")).ok();
    assert_eq!(out.trim(), "8388608", "the process ended long before its client read");
}

#[test]
fn a_stopped_container_cannot_be_attached() {
    let t = Tenant::new("attach");
    t.docker(&["create", "--name", "s1", "busybox", "true"]).ok();
    t.docker(&["attach", "s1"]).fails_with(1, "");
    t.docker(&["attach", "nonesuch"]).fails_with(1, "No such container: nonesuch");
}
