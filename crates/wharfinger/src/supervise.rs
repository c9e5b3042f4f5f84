//! Keeps one process alive: starts it, waits until it is ready, starts it again when it dies, stops it in order.
//!
//! A process that never becomes ready fails the whole start, with the end of its log; one that was ready once is started
//! again for ever, at growing distances.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use domain::{Error, Result};
use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::say;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Who has run this long has earned a quick restart again.
const GOOD_RUN: Duration = Duration::from_secs(10);
/// Deaths before the first readiness that fail the start: about 3 s of trying, time for a predecessor to let go.
const EARLY_DEATHS: u32 = 5;
const READY_WITHIN: Duration = Duration::from_secs(60);
/// From the stop signal to SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_millis(10);
/// A log is set aside at the next start of its process when it is larger.
const LOG_BYTES: u64 = 64 << 20;

/// How to see that a process serves.
pub(crate) enum Probe {
    /// It has written its process id to its ready file.
    ReadyFile,
    /// Its socket accepts.
    Socket(PathBuf),
}

pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) log: PathBuf,
    /// Holds the process id while the process serves. A role writes it; for the engines we do.
    pub(crate) ready_file: PathBuf,
    pub(crate) probe: Probe,
    pub(crate) stop_signal: Signal,
    pub(crate) command: Box<dyn Fn() -> Result<Command> + Send + Sync>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting { deaths: u32 },
    Ready,
}

/// A running supervision; dropping it does not stop the process.
pub(crate) struct Supervised {
    name: String,
    log: PathBuf,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Process {
    /// From here on the process is kept alive.
    pub(crate) fn supervise(self) -> Supervised {
        let (sender, state) = watch::channel(State::Starting { deaths: 0 });
        let stop = CancellationToken::new();
        let (name, log) = (self.name.clone(), self.log.clone());
        let task = tokio::spawn(keep(self, sender, stop.clone()));
        Supervised { name, log, state, stop, task }
    }
}

impl Supervised {
    /// Waits for the first readiness.
    pub(crate) async fn ready(&self) -> Result<()> {
        let mut state = self.state.clone();
        let decided = |s: &State| !matches!(s, State::Starting { deaths } if *deaths < EARLY_DEATHS);
        match timeout(READY_WITHIN, state.wait_for(decided)).await {
            Ok(Ok(state)) if *state == State::Ready => Ok(()),
            _ => Err(Error::internal(format!("{} does not start; its log ends with:\n{}", self.name, tail(&self.log)))),
        }
    }

    /// Stops the process and waits for its end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

async fn keep(process: Process, state: watch::Sender<State>, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let ended = match process.start() {
            Ok(child) => process.watch(child, &state, &stop).await,
            Err(e) => Some(e.operator_text()),
        };
        let Some(how) = ended else { return };
        if began.elapsed() > GOOD_RUN {
            pause = FIRST_PAUSE;
        }
        say::about(
            &process.name,
            format_args!("{how}; again in {} ms, log {}", pause.as_millis(), process.log.display()),
        );
        state.send_if_modified(|s| match s {
            State::Starting { deaths } => {
                *deaths += 1;
                true
            }
            State::Ready => false,
        });
        tokio::select! { () = sleep(pause) => {}, () = stop.cancelled() => {} }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Process {
    fn start(&self) -> Result<Child> {
        let _ = fs::remove_file(&self.ready_file);
        let mut command = (self.command)()?;
        let log = open_log(&self.log)?;
        let also = log.try_clone().map_err(|e| Error::because("log", e))?;
        // A group of its own: Ctrl-C reaches the supervisor alone, which stops the others in order.
        command.stdin(Stdio::null()).stdout(log).stderr(also).process_group(0);
        let child =
            command.spawn().map_err(|e| Error::because(format!("starting {:?}", command.as_std().get_program()), e))?;
        say::about(&self.name, format_args!("started, process {}", child.id().unwrap_or(0)));
        Ok(child)
    }

    /// How the process ended by itself; None when it was asked to.
    async fn watch(&self, mut child: Child, state: &watch::Sender<State>, stop: &CancellationToken) -> Option<String> {
        let pid = child.id()?;
        let ready = self.wait_ready(pid);
        tokio::pin!(ready);
        let mut waiting = true;
        loop {
            tokio::select! {
                status = child.wait() => return Some(describe(status)),
                () = &mut ready, if waiting => {
                    waiting = false;
                    self.note_ready(pid);
                    state.send_replace(State::Ready);
                }
                () = stop.cancelled() => {
                    self.end(child, pid).await;
                    return None;
                }
            }
        }
    }

    async fn end(&self, mut child: Child, pid: u32) {
        let _ = nix::sys::signal::kill(Pid::from_raw(pid as i32), self.stop_signal);
        if timeout(GRACE, child.wait()).await.is_err() {
            say::about(&self.name, format_args!("still there after {} s: killed", GRACE.as_secs()));
            let _ = child.kill().await;
        }
        let _ = fs::remove_file(&self.ready_file);
        say::about(&self.name, "stopped");
    }
}

impl Process {
    async fn wait_ready(&self, pid: u32) {
        while !self.is_ready(pid).await {
            sleep(PROBE_EVERY).await;
        }
    }

    async fn is_ready(&self, pid: u32) -> bool {
        match &self.probe {
            Probe::ReadyFile => fs::read_to_string(&self.ready_file).is_ok_and(|text| text.trim() == pid.to_string()),
            Probe::Socket(path) => UnixStream::connect(path).await.is_ok(),
        }
    }

    fn note_ready(&self, pid: u32) {
        if matches!(self.probe, Probe::Socket(_)) {
            let _ = fs::write(&self.ready_file, format!("{pid}\n"));
        }
    }
}

fn open_log(path: &Path) -> Result<fs::File> {
    if fs::metadata(path).is_ok_and(|m| m.len() > LOG_BYTES) {
        let _ = fs::rename(path, path.with_extension("log.1"));
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|e| Error::because(format!("opening {}", path.display()), e))
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|e| format!("lost: {e}"), |s| format!("ended, {s}"))
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(script: &'static str, dir: &Path) -> Process {
        let ready = dir.join("ready");
        Process {
            name: "test".into(),
            log: dir.join("log"),
            ready_file: ready.clone(),
            probe: Probe::ReadyFile,
            stop_signal: Signal::SIGTERM,
            command: Box::new(move || {
                let mut command = Command::new("sh");
                command.args(["-c", script]).env("READY", &ready);
                Ok(command)
            }),
        }
    }

    fn directory(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("wharfinger-supervise-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[tokio::test]
    async fn a_killed_process_comes_back_and_a_stopped_one_does_not() {
        let dir = directory("back");
        let supervised = process("echo $$ > $READY; exec sleep 100", &dir).supervise();
        supervised.ready().await.unwrap();
        let first: i32 = fs::read_to_string(dir.join("ready")).unwrap().trim().parse().unwrap();
        nix::sys::signal::kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
        let second = loop {
            sleep(PROBE_EVERY).await;
            let pid = fs::read_to_string(dir.join("ready")).ok().and_then(|t| t.trim().parse::<i32>().ok());
            if let Some(pid) = pid.filter(|p| *p != first) {
                break pid;
            }
        };
        supervised.stop().await;
        assert!(nix::sys::signal::kill(Pid::from_raw(second), None).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn one_that_never_starts_fails_with_its_own_words() {
        let dir = directory("never");
        let error = process("echo the port is taken; exit 3", &dir).supervise().ready().await.unwrap_err();
        assert!(error.operator_text().contains("the port is taken"), "{}", error.operator_text());
        fs::remove_dir_all(dir).unwrap();
    }
}
