//! create, start, stop, restart, kill, wait, rename, rm: the states, the codes, the words.

use crate::system::{Tenant, eventually};

#[test]
fn the_states_of_a_container() {
    let t = Tenant::new("life");
    let status = || t.docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "c1"]).ok();
    t.docker(&["create", "--name", "c1", "busybox", "sleep", "1000"]).ok();
    assert_eq!(status(), "created 0\n");
    t.docker(&["start", "c1"]).ok();
    assert_eq!(status(), "running 0\n");
    assert_eq!(t.http("POST", "/containers/c1/start", &[], "").0, 304, "it runs already");
    t.docker(&["kill", "c1"]).ok();
    assert_eq!(status(), "exited 137\n");
    t.docker(&["start", "c1"]).ok();
    t.docker(&["restart", "-t", "0", "c1"]).ok();
    assert_eq!(status(), "running 0\n");
    t.docker(&["rm", "c1"]).fails_with(1, "container is running");
    t.docker(&["rm", "-f", "c1"]).ok();
    t.docker(&["inspect", "c1"]).fails_with(1, "c");
}

#[test]
fn stop_is_patient_and_then_not() {
    let t = Tenant::new("life");
    t.docker(&["run", "-d", "--name", "s1", "busybox", "sh", "-c", "trap 'exit 7' TERM; while :; do sleep .1; done"])
        .ok();
    std::thread::sleep(std::time::Duration::from_millis(500));
    t.docker(&["stop", "-t", "10", "s1"]).ok();
    assert_eq!(t.docker(&["wait", "s1"]).ok(), "7\n");
    t.docker(&["run", "-d", "--name", "deaf", "busybox", "sleep", "1000"]).ok();
    let began = std::time::Instant::now();
    t.docker(&["stop", "-t", "1", "deaf"]).ok();
    assert!(began.elapsed().as_secs() < 6, "PID 1 without a handler is killed after the second");
    assert_eq!(t.docker(&["wait", "deaf"]).ok(), "137\n");
}

#[test]
fn the_stop_signal_is_the_container_s() {
    let t = Tenant::new("life");
    let script = "trap 'exit 7' USR1; while :; do sleep .1; done";
    t.docker(&["run", "-d", "--name", "s1", "--stop-signal", "USR1", "busybox", "sh", "-c", script]).ok();
    std::thread::sleep(std::time::Duration::from_millis(500));
    t.docker(&["stop", "-t", "10", "s1"]).ok();
    assert_eq!(t.docker(&["wait", "s1"]).ok(), "7\n");
}

#[test]
fn wait_knows_its_conditions() {
    let t = Tenant::new("life");
    t.docker(&["create", "--name", "w1", "busybox", "sh", "-c", "sleep 1; exit 5"]).ok();
    let waiting = std::thread::scope(|s| {
        let next = s.spawn(|| t.http("POST", "/v1.44/containers/w1/wait?condition=next-exit", &[], ""));
        std::thread::sleep(std::time::Duration::from_millis(300));
        t.docker(&["start", "w1"]).ok();
        next.join().expect("wait")
    });
    assert!(waiting.0 == 200 && waiting.1.contains("\"StatusCode\":5"), "{waiting:?}");
    let again = t.http("POST", "/v1.44/containers/w1/wait?condition=not-running", &[], "");
    assert!(again.1.contains("\"StatusCode\":5"), "{again:?}");
    let removed = std::thread::scope(|s| {
        let removed = s.spawn(|| t.http("POST", "/v1.44/containers/w1/wait?condition=removed", &[], ""));
        std::thread::sleep(std::time::Duration::from_millis(300));
        t.docker(&["rm", "w1"]).ok();
        removed.join().expect("wait")
    });
    assert_eq!(removed.0, 200, "{removed:?}");
    t.docker(&["create", "--name", "w2", "busybox", "true"]).ok();
    assert_eq!(t.refused("POST", "/v1.44/containers/w2/wait?condition=bogus", "").0, 400);
}

#[test]
fn rename_frees_the_old_name() {
    let t = Tenant::new("life");
    t.docker(&["create", "--name", "old", "busybox", "true"]).ok();
    t.docker(&["rename", "old", "new"]).ok();
    t.docker(&["create", "--name", "old", "busybox", "true"]).ok();
    t.docker(&["rename", "old", "new"]).fails_with(1, "is already in use by container");
    assert_eq!(t.docker(&["inspect", "-f", "{{.Name}}", "new"]).ok(), "/new\n");
}

#[test]
fn verbs_in_the_wrong_state_say_so() {
    let t = Tenant::new("life");
    t.docker(&["create", "--name", "c1", "busybox", "true"]).ok();
    t.docker(&["kill", "c1"]).fails_with(1, "is not running");
    t.docker(&["kill", "-s", "BOGUS", "c1"]).fails_with(1, "");
    t.docker(&["start", "nonesuch"]).fails_with(1, "No such container: nonesuch");
    let (status, message) = t.refused("POST", "/v1.44/containers/c1/kill?signal=BOGUS", "");
    assert_eq!((status, message.to_lowercase().contains("invalid signal")), (400, true), "{message}");
}

#[test]
fn restart_policies_are_kept() {
    let t = Tenant::new("life");
    t.docker(&["run", "-d", "--name", "rp", "--restart", "on-failure:2", "busybox", "sh", "-c", "exit 3"]).ok();
    eventually(20, "two restarts", || {
        t.docker(&["inspect", "-f", "{{.State.Status}} {{.RestartCount}}", "rp"]).out == "exited 2\n"
    });
    assert_eq!(t.docker(&["inspect", "-f", "{{.State.ExitCode}}", "rp"]).ok(), "3\n");
    t.docker(&["run", "--rm", "--restart", "always", "busybox", "true"]).fails_with(125, "");
}

#[test]
fn a_container_keeps_its_files_and_its_address_over_a_restart() {
    let t = Tenant::new("life");
    t.docker(&["run", "-d", "--name", "k1", "busybox", "sleep", "1000"]).ok();
    t.docker(&["exec", "k1", "sh", "-c", "echo kept > /kept"]).ok();
    let address = |t: &Tenant| t.docker(&["exec", "k1", "ip", "-4", "-o", "addr", "show", "eth0"]).ok();
    let before = address(&t);
    t.docker(&["restart", "-t", "0", "k1"]).ok();
    assert_eq!(t.docker(&["exec", "k1", "cat", "/kept"]).ok(), "kept\n");
    let words = |s: &str| s.split_whitespace().nth(3).map(str::to_owned);
    assert_eq!(words(&address(&t)), words(&before));
}
