//! `docker exec`.

use crate::system::{Tenant, eventually};

fn with_container() -> Tenant {
    let t = Tenant::new("exec");
    t.docker(&["run", "-d", "--name", "c1", "-e", "FROM=run", "busybox", "sleep", "1000"]).ok();
    t
}

#[test]
fn output_exit_code_and_stdin() {
    let t = with_container();
    let done = t.docker(&["exec", "c1", "sh", "-c", "echo o; echo e >&2; exit 42"]);
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (42, "o\n", "e\n"));
    assert_eq!(t.docker_with_stdin(&["exec", "-i", "c1", "cat"], b"piped\n").ok(), "piped\n");
    let big = vec![7u8; 2_000_000];
    assert_eq!(t.docker_with_stdin(&["exec", "-i", "c1", "wc", "-c"], &big).ok().trim(), "2000000");
}

#[test]
fn environment_user_and_directory() {
    let t = with_container();
    let out = t.docker(&[
        "exec",
        "-e",
        "Q=1",
        "-u",
        "nobody",
        "-w",
        "/etc",
        "c1",
        "sh",
        "-c",
        "echo $Q $FROM $(id -u) $(pwd)",
    ]);
    assert_eq!(out.ok(), "1 run 65534 /etc\n");
}

#[test]
fn a_command_that_cannot_be_executed_gives_126_as_dockerd_says() {
    let t = with_container();
    let done = t.docker(&["exec", "c1", "/nonesuch"]);
    assert_eq!(done.code, 126, "{done:?}");
    assert!((done.out.clone() + &done.err).contains("no such file or directory"), "{done:?}");
}

#[test]
fn detached_exec_runs() {
    let t = with_container();
    t.docker(&["exec", "-d", "c1", "touch", "/tmp/det"]).ok();
    eventually(10, "the file is there", || t.docker(&["exec", "c1", "test", "-f", "/tmp/det"]).code == 0);
}

#[test]
fn a_detached_exec_may_have_a_terminal() {
    let t = with_container();
    t.docker(&["exec", "-d", "-t", "c1", "sh", "-c", "test -t 1 && touch /terminal; echo nobody reads this"]).ok();
    eventually(10, "it has run", || t.docker(&["exec", "c1", "test", "-e", "/terminal"]).code == 0);
}

#[test]
fn a_terminal_can_be_asked_for() {
    let t = with_container();
    let done = t.terminal("docker exec -it c1 sh -c 'tty; exit 4'");
    assert_eq!(done.code, 4, "{done:?}");
    assert!(done.out.contains("/dev/pts/"), "{done:?}");
}

#[test]
fn exec_needs_a_running_container() {
    let t = with_container();
    t.docker(&["kill", "c1"]).ok();
    let done = t.docker(&["exec", "c1", "true"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("is not running"), "{done:?}");
    t.docker(&["exec", "nonesuch", "true"]).fails_with(1, "No such container: nonesuch");
}

#[test]
fn an_exec_starts_once_and_its_end_is_kept() {
    let t = with_container();
    let body = r#"{"Cmd":["sh","-c","exit 3"],"AttachStdout":true}"#;
    let (status, text) = t.http("POST", "/v1.44/containers/c1/exec", &[("content-type", "application/json")], body);
    assert_eq!(status, 201, "{text}");
    let id = serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["Id"].as_str().expect("id").to_owned();
    let start = || {
        t.http(
            "POST",
            &format!("/v1.44/exec/{id}/start"),
            &[("content-type", "application/json")],
            r#"{"Detach":false}"#,
        )
    };
    assert_eq!(start().0, 200);
    assert_eq!(start().0, 409, "a second start");
    let (_, text) = t.http("GET", &format!("/v1.44/exec/{id}/json"), &[], "");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((value["Running"].as_bool(), value["ExitCode"].as_i64()), (Some(false), Some(3)));
}
