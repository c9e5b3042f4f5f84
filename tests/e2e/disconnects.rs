//! Clients that leave in the middle: what they began is unwound, and nothing of it stays.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

use crate::system::{Tenant, block_on, busybox_tar, eventually, registry, role_pid};

/// Files that a role holds open though they have no name any more: uploads that are being taken in.
fn nameless_files(role: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{}/fd", role_pid(role))) else { return 0 };
    let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().ends_with("(deleted)")).count()
}

/// Sends a request with a body in chunks, part of it only, and breaks off.
async fn break_off(t: &Tenant, path: &str, part: &[u8]) {
    let mut connection = t.connect().await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.expect("write");
    connection.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await.expect("write");
    connection.write_all(part).await.expect("write");
    connection.flush().await.expect("flush");
    sleep(Duration::from_millis(300)).await;
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let t = Tenant::bare("leave");
    let tar = std::fs::read(busybox_tar()).expect("the root file system");
    let half = &tar[..tar.len() / 2 / 512 * 512];
    block_on(async {
        break_off(&t, "/images/create?fromSrc=-&repo=half", half).await;
        break_off(&t, "/images/load", half).await;
        break_off(&t, "/images/load?quiet=1", &[]).await;
    });
    assert_eq!(t.docker(&["images", "-aq"]).ok(), "");
    eventually(60, "the uploads' files are closed", || nameless_files("frontend") == 0);
    assert_eq!(t.docker(&["images", "-aq"]).ok(), "", "half an image is none");
    t.docker(&["import", busybox_tar().to_str().expect("UTF-8"), "whole"]).ok();
}

#[test]
fn a_pull_whose_client_leaves_can_be_done_again() {
    let t = Tenant::bare("leave");
    let name = format!("{}/library/busybox", registry());
    for _ in 0..3 {
        block_on(async {
            let mut connection = t.connect().await;
            let head = format!(
                "POST /images/create?fromImage={name}&tag=latest HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
            );
            connection.write_all(head.as_bytes()).await.expect("write");
            // The head of the answer, perhaps a line of progress.
            let _ = connection.read(&mut [0; 512]).await.expect("read");
        });
    }
    t.docker(&["pull", &name]).ok();
    t.docker(&["run", "--rm", &name, "true"]).ok();
    assert_eq!(t.docker(&["images", "-q"]).ok().lines().count(), 1);
}

#[test]
fn followers_that_leave_are_forgotten() {
    let t = Tenant::new("leave");
    t.docker(&["run", "-d", "--name", "c1", "busybox", "sh", "-c", "while :; do echo x; sleep 0.1; done"]).ok();
    let tenant = &t;
    let streams = |path: &'static str| async move {
        let mut connection = tenant.connect().await;
        let head = format!("{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        connection.write_all(head.as_bytes()).await.expect("write");
        let n = connection.read(&mut [0; 512]).await.expect("read");
        assert!(n > 0);
        connection
    };
    let log = format!("/{}/log/", t.docker(&["ps", "-q", "--no-trunc"]).ok().trim());
    let open = || -> usize { ["agent-h1", "agent-h2", "agent-h3"].iter().map(|role| readers(role, &log)).sum() };
    let before = open();
    block_on(async {
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(streams("GET /containers/c1/logs?follow=1&stdout=1").await);
            held.push(streams("POST /containers/c1/attach?stream=1&stdout=1").await);
        }
        sleep(Duration::from_millis(500)).await;
        assert!(open() >= before + 5, "they read the log");
    });
    eventually(60, "nobody reads the log any more", || open() <= before);
    assert_eq!(t.inspect("c1")["State"]["Running"], true);
}

/// How many files below a folder of this name a role has open.
fn readers(role: &str, folder: &str) -> usize {
    let ready = crate::system::data_dir().join("run").join(format!("{role}.ready"));
    let Ok(pid) = std::fs::read_to_string(ready) else { return 0 };
    let Ok(entries) = std::fs::read_dir(format!("/proc/{}/fd", pid.trim())) else { return 0 };
    let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().contains(folder)).count()
}

#[test]
fn a_create_whose_client_leaves_is_whole_or_not_there() {
    let t = Tenant::new("leave");
    block_on(async {
        for at in 0..5 {
            let mut connection = t.connect().await;
            let body = r#"{"Image":"busybox","Cmd":["true"]}"#;
            let head = format!(
                "POST /containers/create?name=c{at} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            connection.write_all(head.as_bytes()).await.expect("write");
            connection.flush().await.expect("flush");
            sleep(Duration::from_millis(5 * at)).await;
        }
    });
    eventually(30, "what was begun is done", || t.docker(&["ps", "-aq"]).ok().lines().count() == 5);
    for at in 0..5 {
        assert_eq!(t.docker(&["start", "-a", &format!("c{at}")]).ok(), "");
        t.docker(&["rm", &format!("c{at}")]).ok();
    }
    assert_eq!(t.docker(&["info", "-f", "{{.Containers}}"]).ok(), "0\n");
}
