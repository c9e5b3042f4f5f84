//! Against a process in a user and a mount namespace of its own, as a container has.

#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

const INSIDE: &str = "
    mount -t tmpfs none /mnt && cd /mnt && printf abc > file && mkdir dir && ln -s ../../../../mnt/file link &&
    ln -s nowhere dangling && ln -s dir todir && echo ready && exec sleep 60";

struct Container(Child);

impl Container {
    /// None where this user may not make namespaces.
    fn start() -> Option<Self> {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", INSIDE]).stdout(Stdio::piped());
        let mut container = Self(command.spawn().ok()?);
        let mut line = String::new();
        BufReader::new(container.0.stdout.take()?).read_line(&mut line).ok()?;
        (line == "ready\n").then_some(container)
    }

    fn enter(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger-enter"));
        command.arg(self.0.id().to_string()).args(args).output().unwrap()
    }

    fn stat(&self, path: &str) -> (u64, u32, String) {
        let output = self.enter(&["stat", path]);
        assert!(output.status.success(), "{path}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let (line, target) = text.split_once('\n').unwrap();
        let numbers: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        (numbers[0], numbers[1] as u32, target.to_owned())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn paths_are_those_of_the_container() {
    let Some(container) = Container::start() else { return };
    assert_eq!(container.stat("/mnt/file"), (3, 0o100_644, String::new()));
    assert_eq!(container.stat("mnt/dir").1 & 0o170_000, 0o040_000);
    assert_eq!(container.stat("/").1 & 0o170_000, 0o040_000);
    let (_, mode, target) = container.stat("/mnt/link");
    assert_eq!((mode & 0o170_000, &target[..]), (0o120_000, "/mnt/file"));
    assert_eq!(container.stat("/mnt/dangling").2, "/mnt/nowhere");
    assert_eq!(container.stat("/mnt/todir/").1 & 0o170_000, 0o040_000, "a slash at the end follows");
}

#[test]
fn a_missing_path_and_a_missing_process_differ() {
    let Some(container) = Container::start() else { return };
    assert_eq!(container.enter(&["stat", "/mnt/none"]).status.code(), Some(2));
    assert_eq!(container.enter(&["stat", "/mnt/file/below"]).status.code(), Some(2));
    assert_eq!(container.enter(&["remove", "/mnt/file"]).status.code(), Some(1));
    for pid in ["4194305", "../1", ""] {
        let output = Command::new(env!("CARGO_BIN_EXE_wharfinger-enter")).args([pid, "stat", "/"]).output();
        assert_eq!(output.unwrap().status.code(), Some(1), "{pid}");
    }
}
