//! Runs a command of the distribution and waits for it: `ip`, `nft`, `initdb`.

use std::{ffi::OsStr, process::Stdio};

use domain::{Error, Result};
use tokio::{io::AsyncWriteExt as _, process::Command};

/// Its stdout, or an error with its stderr.
pub(crate) async fn run<A: AsRef<OsStr>>(program: &str, args: &[A]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args);
    output(command, "").await
}

/// As [`run`], with `input` on stdin.
pub(crate) async fn feed<A: AsRef<OsStr>>(program: &str, args: &[A], input: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args);
    output(command, input).await
}

/// As [`feed`], for a command that was prepared by the caller.
pub(crate) async fn output(mut command: Command, input: &str) -> Result<String> {
    let shown = format!("{:?}", command.as_std());
    let failed = |e| Error::because(format!("running {shown}"), e);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends without reading is judged by its status.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let done = child.wait_with_output().await.map_err(failed)?;
    if !done.status.success() {
        let stderr = String::from_utf8_lossy(&done.stderr);
        return Err(Error::internal(format!("{shown}: {}: {}", done.status, stderr.trim())));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
