//! Killing any process of ours disturbs no container. These tests kill roles of the shared system, so tests/run runs them
//! alone, after the others.

use crate::system::{Tenant, eventually, kill_hard, role_pid};

/// A container that counts; returns what must hold after the deed: no restart, no gap in the lines.
fn unharmed_by(deed: impl FnOnce(&Tenant)) {
    let t = Tenant::new("kill");
    let script = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.05; done";
    t.docker(&["run", "-d", "--name", "c1", "busybox", "sh", "-c", script]).ok();
    t.docker(&["run", "-d", "--name", "ends", "busybox", "sh", "-c", "sleep 2; exit 9"]).ok();
    let started = t.inspect("c1")["State"]["StartedAt"].clone();
    deed(&t);
    eventually(30, "verbs work again", || t.docker(&["exec", "c1", "true"]).code == 0);
    eventually(30, "the exit of the gap is known", || {
        t.docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "ends"]).out == "exited 9\n"
    });
    let after = t.inspect("c1");
    assert_eq!(after["State"]["StartedAt"], started, "it was not restarted");
    assert_eq!(after["RestartCount"], 0);
    let lines = t.docker(&["logs", "c1"]).ok();
    assert!(lines.lines().enumerate().all(|(i, l)| l == i.to_string()), "no line of the gap is missing");
    let n = lines.lines().count();
    eventually(10, "it goes on", || t.docker(&["logs", "c1"]).out.lines().count() > n);
}

#[test]
fn an_agent_that_is_killed() {
    unharmed_by(|t| {
        for host in ["h1", "h2", "h3"] {
            kill_hard(role_pid(&format!("agent-{host}")));
        }
        let _ = t.docker(&["ps"]);
    });
}

#[test]
fn an_attached_client_keeps_its_stream_when_agents_are_killed() {
    let t = Tenant::new("kill");
    let script = "i=0; while [ $i -lt 120 ]; do echo $i; i=$((i+1)); sleep 0.05; done; exit 7";
    let child = t.docker_child(&["run", "--name", "c1", "busybox", "sh", "-c", script]);
    eventually(30, "it runs", || t.docker(&["logs", "c1"]).out.lines().count() > 20);
    for host in ["h1", "h2", "h3"] {
        kill_hard(role_pid(&format!("agent-{host}")));
    }
    let done = child.wait_with_output().expect("docker ends");
    let expected: String = (0..120).map(|i| format!("{i}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&done.stdout), expected, "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(7));
}

#[test]
fn a_containerd_that_is_killed() {
    unharmed_by(|_| {
        for host in ["h1", "h2", "h3"] {
            kill_hard(role_pid(&format!("containerd-{host}")));
        }
    });
}

#[test]
fn a_frontend_that_is_killed() {
    unharmed_by(|_| kill_hard(role_pid("frontend")));
}

#[test]
fn a_scheduler_that_is_killed() {
    unharmed_by(|_| kill_hard(role_pid("scheduler")));
}

#[test]
fn a_postgres_that_is_killed() {
    unharmed_by(|_| kill_hard(role_pid("postgres")));
}
