//! `docker logs`.

use crate::system::Tenant;

#[test]
fn logs_tell_the_streams_apart_and_know_their_options() {
    let t = Tenant::new("logs");
    t.docker(&["run", "--name", "both", "busybox", "sh", "-c", "echo o1; echo e1 >&2; echo o2"]).ok();
    let all = t.docker(&["logs", "both"]);
    assert_eq!((all.out.as_str(), all.err.as_str()), ("o1\no2\n", "e1\n"));
    t.docker(&["run", "--name", "l1", "busybox", "sh", "-c", "echo o1; echo o2; printf end"]).ok();
    assert_eq!(t.docker(&["logs", "--tail", "1", "l1"]).out, "end");
    assert_eq!(t.docker(&["logs", "--tail", "0", "l1"]).out, "");
    let stamped = t.docker(&["logs", "-t", "l1"]).out;
    let first = stamped.lines().next().expect("a line");
    let (stamp, text) = first.split_once(' ').expect("a time and a line");
    assert!(stamp.len() == 30 && stamp.ends_with('Z') && text == "o1", "{first}");
    assert_eq!(t.docker(&["logs", "--since", "1h", "l1"]).out, "o1\no2\nend");
    assert_eq!(t.docker(&["logs", "--since", "2200-01-01T00:00:00Z", "l1"]).out, "");
    assert_eq!(t.docker(&["logs", "--until", "2001-01-01T00:00:00Z", "l1"]).out, "");
}

#[test]
fn follow_sees_every_line_and_ends_with_the_container() {
    let t = Tenant::new("logs");
    let script = "for i in $(seq 20); do echo line $i; sleep 0.05; done";
    t.docker(&["run", "-d", "--name", "f1", "busybox", "sh", "-c", script]).ok();
    let out = t.docker(&["logs", "-f", "f1"]).ok();
    assert_eq!(out.lines().count(), 20, "{out}");
    assert!(out.ends_with("line 20\n"));
}

#[test]
fn rotation_keeps_the_newest() {
    let t = Tenant::new("logs");
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; sleep 3";
    let log = ["--log-opt", "max-size=10k", "--log-opt", "max-file=2"];
    // Detached: what an attached client has not read yet would be kept for it.
    t.docker(&[&["run", "-d", "--name", "r1"], &log[..], &["busybox", "sh", "-c", script]].concat()).ok();
    t.docker(&["wait", "r1"]).ok();
    // Read only now: in a run's first two seconds all is kept for newcomers, and what somebody reads at its end stays.
    let out = t.docker(&["logs", "r1"]).ok();
    assert!(out.ends_with("line 19999\n"), "the newest is there");
    assert!(out.len() < 100_000, "the oldest is gone: {}", out.len());
    assert_eq!(t.docker(&["logs", "--tail", "3", "r1"]).ok(), "line 19997\nline 19998\nline 19999\n");
}

#[test]
fn a_long_output_comes_back_whole() {
    let t = Tenant::new("logs");
    t.docker(&["run", "--name", "big", "busybox", "sh", "-c", "seq 1 300000"]).ok();
    let out = t.docker(&["logs", "big"]).ok();
    assert_eq!(out.lines().count(), 300_000);
    assert!(out.lines().enumerate().all(|(i, l)| l == (i + 1).to_string()));
}

#[test]
fn logs_of_nothing_and_of_none() {
    let t = Tenant::new("logs");
    t.docker(&["logs", "nonesuch"]).fails_with(1, "No such container: nonesuch");
    t.docker(&["run", "--name", "n1", "--log-driver", "none", "busybox", "echo", "x"]).ok();
    t.docker(&["logs", "n1"]).fails_with(1, "configured logging driver does not support reading");
}
