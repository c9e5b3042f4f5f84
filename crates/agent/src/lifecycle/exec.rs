//! `exec`: a further process in a running container.
//!
//! Its exit is asked for before it runs, and reported wherever its client is. An exec outlives its client and its agent:
//! the shim has it, and adoption waits for it again.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{ContainerId, Error, ExecId, ExecObservation, ExecSpec, Result, Status, TenantId};
use futures::{StreamExt, stream};
use oci_spec::runtime::Process;
use rpc::v1;
use tokio_util::sync::CancellationToken;

use super::{
    Accepted, Container, Engine,
    streams::{Input, Inputs, Outputs},
};
use crate::{
    containerd::{Exit, NewExec, RunError},
    passwd::{Accounts, User},
    spec,
    stdio::{ExecPipes, ExecStreams},
};

/// dockerd's code for an exec whose command could not run.
const NOT_RUN_CODE: i32 = 126;
const RETRY: Duration = Duration::from_millis(300);

/// Execs whose exit somebody waits for.
#[derive(Default)]
pub(super) struct Execs(Mutex<HashSet<String>>);

#[derive(Debug)]
pub struct ExecStart {
    pub tenant: TenantId,
    pub container: ContainerId,
    pub id: ExecId,
    pub spec: ExecSpec,
    /// Answer once it runs.
    pub detach: bool,
    /// Rows and columns, 0 = unknown.
    pub size: (u16, u16),
}

impl Engine {
    /// Runs it, and gives `attached`, its output, and `exit`.
    ///
    /// # Errors
    /// `Conflict` unless the container runs; `Invalid` in dockerd's words for a command that cannot run.
    pub async fn exec(self: &Arc<Self>, start: ExecStart, input: Inputs) -> Result<Outputs> {
        let container = self.find(start.tenant, &start.container)?;
        match container.status() {
            Status::Running => {}
            Status::Paused => {
                let id = &start.container;
                return Err(Error::conflict(format!("Container {id} is paused, unpause the container before exec")));
            }
            _ => return Err(Error::conflict(format!("container {} is not running", start.container))),
        }
        match self.run_exec(&container, &start).await {
            Ok(running) => Ok(self.connect(container, start, input, running)),
            Err(error) => {
                self.report_exec(&container, &start.id, false, 0, NOT_RUN_CODE);
                Err(error)
            }
        }
    }

    async fn run_exec(self: &Arc<Self>, container: &Arc<Container>, start: &ExecStart) -> Result<Running> {
        let (id, exec) = (container.id(), start.id.as_str());
        let process = self.exec_process(container, start).await?;
        container.until_read().await;
        let pipes = ExecPipes::create(&container.paths().execs, &start.id, streams_of(start))?;
        let [stdin, stdout, stderr] = pipes.paths();
        self.execs.lock().insert(exec.to_owned());
        let new = NewExec { container: id, exec, process: &process, stdin, stdout, stderr };
        let started = match self.containerd.create_exec(new).await {
            Ok(()) => self.containerd.start(id, Some(exec)).await,
            Err(error) => Err(error),
        };
        match started {
            Ok(pid) => {
                self.report_exec(container, &start.id, true, pid, 0);
                let exited = self.watch_exec(container, &start.id, pid, Some(pipes.ended()));
                Ok(Running { pid, pipes, exited })
            }
            Err(error) => {
                self.execs.lock().remove(exec);
                let _ = self.containerd.delete_exec(id, exec).await;
                Err(refused(error))
            }
        }
    }

    /// The container's own process, with what the exec asks for on top.
    async fn exec_process(&self, container: &Container, start: &ExecStart) -> Result<Process> {
        let stored = self.containerd.record_spec(container.id()).await?;
        let own = stored.process().clone().ok_or_else(|| Error::internal("record without a process"))?;
        let user = match start.spec.user.as_str() {
            "" => own_user(&own),
            // As in dockerd, `--group-add` is of the container: another user's exec has those groups too.
            user => {
                let added = &container.accepted.spec.process.group_add;
                accounts_of(container.observation().pid).await?.resolve(user, added)?
            }
        };
        spec::exec_process(&own, &start.spec, &user, start.size).map_err(|e| Error::because("exec process", e))
    }

    fn connect(
        self: &Arc<Self>,
        container: Arc<Container>,
        start: ExecStart,
        input: Inputs,
        mut running: Running,
    ) -> Outputs {
        let attached = v1::Attached { tty: start.spec.tty, pid: running.pid, place: None };
        let first = stream::iter([Ok(output(v1::stream_output::Output::Attached(attached)))]);
        if let Some(stdin) = running.pipes.take_stdin() {
            let (engine, container, exec) = (self.clone(), container.clone(), start.id.clone());
            tokio::spawn(async move { engine.feed_exec(&container, &exec, stdin, input).await });
        }
        if start.detach {
            if start.spec.tty {
                // What a terminal shows is read for nobody.
                drop(running.pipes.output(running.exited.token));
                return Box::pin(first);
            }
            // Its directory names it to an agent that comes after us.
            tokio::spawn(async move {
                running.exited.token.cancelled().await;
                drop(running.pipes);
            });
            return Box::pin(first);
        }
        let chunks = running.pipes.output(running.exited.token.clone());
        let files = container.hold_files();
        let exit = stream::once(async move {
            let _files = files;
            running.exited.token.cancelled().await;
            let exit_code = *running.exited.code.lock().unwrap_or_else(|p| p.into_inner());
            Ok(output(v1::stream_output::Output::Exit(v1::ExecExit { exit_code })))
        });
        Box::pin(first.chain(chunks).chain(exit))
    }

    /// The end of the client's input is the end of the process's.
    async fn feed_exec(&self, container: &Container, exec: &ExecId, stdin: crate::stdio::Stdin, mut input: Inputs) {
        let _ = stdin.started().await;
        while let Some(Input::Bytes(bytes)) = input.next().await {
            if stdin.write(&bytes).await.is_err() {
                return;
            }
        }
        if stdin.close().await {
            self.close_stdin(container, Some(exec.as_str())).await;
        }
    }

    /// Cancelled, with the code, when the process has ended; over restarts of containerd.
    ///
    /// The process is deleted only when its streams are `drained`: the shim gives a reader 2 s after the deletion and then
    /// drops what a slow client has not taken.
    fn watch_exec(
        self: &Arc<Self>,
        container: &Arc<Container>,
        exec: &ExecId,
        pid: u32,
        drained: Option<CancellationToken>,
    ) -> Exited {
        let exited = Exited::default();
        let (engine, container, exec, end) = (self.clone(), container.clone(), exec.clone(), exited.clone());
        tokio::spawn(async move {
            let code = loop {
                match engine.containerd.wait(container.id(), Some(exec.as_str())).await {
                    Ok(Some(exit)) => break exit.code,
                    // The container ended and took it along.
                    Ok(None) => break 128 + libc::SIGKILL,
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            };
            engine.report_exec(&container, &exec, false, pid, code);
            *end.code.lock().unwrap_or_else(|p| p.into_inner()) = code;
            end.token.cancel();
            if let Some(drained) = drained {
                drained.cancelled().await;
            }
            engine.delete_ended(&container, &exec).await;
        });
        exited
    }

    async fn delete_ended(&self, container: &Container, exec: &ExecId) {
        self.execs.lock().remove(exec.as_str());
        if let Err(error) = self.containerd.delete_exec(container.id(), exec.as_str()).await {
            tracing::debug!(exec = exec.as_str(), error = error.operator_text(), "ended exec");
        }
    }

    /// An exit of an exec that nobody here waits for: an earlier agent's.
    pub(super) fn exec_event(self: &Arc<Self>, container: &str, exec: &str, exit: Exit) {
        let Ok(id) = exec.parse::<ExecId>() else { return };
        let Some(container) = self.by_name(container) else { return };
        if self.execs.lock().contains(exec) {
            return;
        }
        let engine = self.clone();
        tokio::spawn(async move {
            engine.report_exec(&container, &id, false, 0, exit.code);
            engine.delete_ended(&container, &id).await;
        });
    }

    /// Execs of an earlier agent: their directories name them, and their shim still knows how they ended.
    pub(super) fn adopt_execs(self: &Arc<Self>, container: &Arc<Container>) {
        let execs: PathBuf = container.paths().execs;
        for entry in std::fs::read_dir(&execs).into_iter().flatten().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|n| n.parse::<ExecId>().ok()) else { continue };
            self.execs.lock().insert(id.to_string());
            self.watch_exec(container, &id, 0, None);
        }
        crate::stdio::drain_leftovers(&execs);
    }

    fn report_exec(
        self: &Arc<Self>,
        measured: &Arc<Container>,
        exec: &ExecId,
        running: bool,
        pid: u32,
        exit_code: i32,
    ) {
        let Accepted { tenant, id, .. } = &measured.accepted;
        let (tenant, container, exec) = (*tenant, id.clone(), exec.clone());
        self.reports.exec(ExecObservation { tenant, container, exec, running, pid, exit_code });
        if !running {
            self.measure_later(measured);
        }
    }
}

/// An exec that was started.
struct Running {
    pid: u32,
    pipes: ExecPipes,
    exited: Exited,
}

#[derive(Clone, Default)]
struct Exited {
    token: CancellationToken,
    code: Arc<Mutex<i32>>,
}

impl Execs {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn output(output: v1::stream_output::Output) -> v1::StreamOutput {
    v1::StreamOutput { output: Some(output) }
}

/// A detached one is connected to nothing; but the shim makes a terminal only for a process whose output has a place to go.
fn streams_of(start: &ExecStart) -> ExecStreams {
    if start.detach {
        return ExecStreams { stdout: start.spec.tty, tty: start.spec.tty, ..ExecStreams::default() };
    }
    let spec = &start.spec;
    let stdout = spec.attach_stdout || spec.tty;
    ExecStreams { stdin: spec.attach_stdin, stdout, stderr: spec.attach_stderr && !spec.tty, tty: spec.tty }
}

/// The ids that the container's own process has.
pub(super) fn own_user(own: &Process) -> User {
    let user = own.user();
    User { uid: user.uid(), gid: user.gid(), groups: user.additional_gids().clone().unwrap_or_default() }
}

/// As the container sees them now, whatever its image said.
pub(super) async fn accounts_of(pid: u32) -> Result<Accounts> {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let read = tokio::task::spawn_blocking(move || Accounts::of_root(&root));
    read.await.map_err(|e| Error::because("accounts of a container", e))
}

/// dockerd's words.
fn refused(error: RunError) -> Error {
    match error {
        RunError::Failed(error) => error,
        RunError::Gone => Error::conflict("container is not running"),
        RunError::Runtime(text) if text.contains("exec failed") => Error::invalid(text),
        RunError::Runtime(text) => Error::internal(text),
    }
}
