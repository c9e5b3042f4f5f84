//! Tasks: a container's processes, through its shim.
//!
//! `exec` is None for the container's first process. A shim outlives containerd, and keeps the exit of a process until
//! the task is deleted, so nothing is lost while containerd or the agent is down.

use chrono::{DateTime, Utc};
use containerd_client::{
    services::v1::{
        CloseIoRequest, CreateTaskRequest, DeleteProcessRequest, DeleteTaskRequest, ExecProcessRequest, KillRequest,
        ListPidsRequest, ListTasksRequest, PauseTaskRequest, ResizePtyRequest, ResumeTaskRequest, StartRequest,
        UpdateTaskRequest, WaitRequest, tasks_client::TasksClient,
    },
    tonic::{Code, Status, transport::Channel},
    types::v1::Status as TaskStatus,
};
use domain::{Error, Kind, Result, Signal};
use prost::Message;
use prost_types::{Any, Timestamp};

use super::{Containerd, Mount, failed, optional};

const RESOURCES_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
const OPTIONS_TYPE: &str = "containerd.runc.v1.Options";
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// 128 + signal for a killed one.
    pub code: i32,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Made and not started.
    Created,
    Running,
    Paused,
    Stopped(Exit),
}

#[derive(Debug, Clone)]
pub struct Task {
    pub id: String,
    pub pid: u32,
    pub state: TaskState,
    /// Paths of FIFOs and URIs as given at creation.
    pub terminal: bool,
}

#[derive(Debug, Default)]
pub struct NewTask<'a> {
    pub id: &'a str,
    pub rootfs: Vec<Mount>,
    pub terminal: bool,
    /// Path of a FIFO, or empty.
    pub stdin: String,
    /// Path of a FIFO, or a URI.
    pub stdout: String,
    /// As `stdout`; empty for a terminal.
    pub stderr: String,
    /// User and group, as the host counts, that own the pipes of all its processes: who is root inside may open
    /// `/dev/stdout` then, and the runtime can hand it to another user of the container.
    pub io_owner: u32,
}

/// The two fields that we set of the options of containerd's runc shim (`oci.proto`).
#[derive(Clone, PartialEq, prost::Message)]
struct RuncOptions {
    #[prost(uint32, tag = "4")]
    io_uid: u32,
    #[prost(uint32, tag = "5")]
    io_gid: u32,
}

#[derive(Debug)]
pub struct NewExec<'a> {
    pub container: &'a str,
    pub exec: &'a str,
    pub process: &'a oci_spec::runtime::Process,
    pub stdin: String,
    pub stdout: String,
    pub stderr: String,
}

/// An answer of runc (its own words) or a failure of ours.
#[derive(Debug)]
pub enum RunError {
    /// The runtime could not run the command; its text, without gRPC's frame.
    Runtime(String),
    /// The task has ended meanwhile.
    Gone,
    Failed(domain::Error),
}

impl RunError {
    fn of(call: &'static str, status: Status) -> Self {
        if status.code() == Code::Unknown && !super::unreachable(&status) {
            return Self::Runtime(status.message().to_owned());
        }
        match status.code() {
            Code::NotFound | Code::FailedPrecondition => Self::Gone,
            _ => Self::Failed(failed(call, status)),
        }
    }
}

impl Containerd {
    fn tasks(&self) -> TasksClient<Channel> {
        TasksClient::new(self.channel.clone())
    }

    /// Starts the shim and lets runc set the container up; gives the process id of its first process, not yet running
    /// the command.
    pub async fn create_task(&self, new: NewTask<'_>) -> Result<u32, RunError> {
        let options = RuncOptions { io_uid: new.io_owner, io_gid: new.io_owner };
        let request = CreateTaskRequest {
            options: Some(Any { type_url: OPTIONS_TYPE.to_owned(), value: options.encode_to_vec() }),
            container_id: new.id.to_owned(),
            rootfs: new.rootfs,
            stdin: new.stdin,
            stdout: new.stdout,
            stderr: new.stderr,
            terminal: new.terminal,
            ..Default::default()
        };
        let made = self.tasks().create(self.request(request)).await.map_err(|s| RunError::of("tasks.create", s))?;
        Ok(made.into_inner().pid)
    }

    /// Lets a made process run its command; gives its process id.
    pub async fn start(&self, id: &str, exec: Option<&str>) -> Result<u32, RunError> {
        let request = StartRequest { container_id: id.to_owned(), exec_id: exec.unwrap_or_default().to_owned() };
        let started = self.tasks().start(self.request(request)).await.map_err(|s| RunError::of("tasks.start", s))?;
        Ok(started.into_inner().pid)
    }

    /// Waits for the end; None when there is no such process.
    pub async fn wait(&self, id: &str, exec: Option<&str>) -> Result<Option<Exit>> {
        let request = WaitRequest { container_id: id.to_owned(), exec_id: exec.unwrap_or_default().to_owned() };
        let ended = optional("tasks.wait", self.tasks().wait(self.request(request)).await)?;
        Ok(ended.map(|e| {
            let e = e.into_inner();
            Exit::new(e.exit_status, e.exited_at.as_ref().and_then(time).unwrap_or_else(Utc::now))
        }))
    }

    /// Frees the shim of an ended task. A task that is not there is fine.
    pub async fn delete_task(&self, id: &str) -> Result<()> {
        let request = self.request(DeleteTaskRequest { container_id: id.to_owned() });
        optional("tasks.delete", self.tasks().delete(request).await).map(drop)
    }

    /// Forgets an ended exec. One that is not there is fine.
    pub async fn delete_exec(&self, id: &str, exec: &str) -> Result<()> {
        let request = DeleteProcessRequest { container_id: id.to_owned(), exec_id: exec.to_owned() };
        optional("tasks.delete_process", self.tasks().delete_process(self.request(request)).await).map(drop)
    }

    /// False: the process is not there any more.
    pub async fn kill(&self, id: &str, exec: Option<&str>, signal: Signal, all: bool) -> Result<bool> {
        let request = KillRequest {
            container_id: id.to_owned(),
            exec_id: exec.unwrap_or_default().to_owned(),
            signal: signal.0.unsigned_abs(),
            all,
        };
        Ok(optional("tasks.kill", self.tasks().kill(self.request(request)).await)?.is_some())
    }

    pub async fn pause(&self, id: &str) -> Result<()> {
        let request = self.request(PauseTaskRequest { container_id: id.to_owned() });
        self.tasks().pause(request).await.map_err(|s| failed("tasks.pause", s))?;
        Ok(())
    }

    pub async fn resume(&self, id: &str) -> Result<()> {
        let request = self.request(ResumeTaskRequest { container_id: id.to_owned() });
        self.tasks().resume(request).await.map_err(|s| failed("tasks.resume", s))?;
        Ok(())
    }

    /// New limits for the cgroup of a running task.
    pub async fn update_task(&self, id: &str, limits: &oci_spec::runtime::LinuxResources) -> Result<(), RunError> {
        let value =
            serde_json::to_vec(limits).map_err(|e| RunError::Failed(domain::Error::because("limits of a task", e)))?;
        let resources = Some(Any { type_url: RESOURCES_TYPE.to_owned(), value });
        let request = UpdateTaskRequest { container_id: id.to_owned(), resources, annotations: Default::default() };
        self.tasks().update(self.request(request)).await.map_err(|s| RunError::of("tasks.update", s))?;
        Ok(())
    }

    pub async fn resize(&self, id: &str, exec: Option<&str>, height: u32, width: u32) -> Result<()> {
        let exec_id = exec.unwrap_or_default().to_owned();
        let request = ResizePtyRequest { container_id: id.to_owned(), exec_id, width, height };
        match self.tasks().resize_pty(self.request(request)).await {
            Ok(_) => Ok(()),
            // Not started yet, or ended since the caller looked.
            Err(status) if status.code() == Code::NotFound => Err(match exec {
                Some(exec) => Error::not_found(Kind::Exec, exec),
                None => Error::conflict(format!("container {id} is not running")),
            }),
            Err(status) => Err(failed("tasks.resize_pty", status)),
        }
    }

    /// The shim holds a writer of stdin as well: only this gives the process its end of file.
    pub async fn close_stdin(&self, id: &str, exec: Option<&str>) -> Result<()> {
        let exec_id = exec.unwrap_or_default().to_owned();
        let request = CloseIoRequest { container_id: id.to_owned(), exec_id, stdin: true };
        optional("tasks.close_io", self.tasks().close_io(self.request(request)).await).map(drop)
    }

    /// Declares a further process; it runs at `start`.
    pub async fn create_exec(&self, new: NewExec<'_>) -> Result<(), RunError> {
        let value =
            serde_json::to_vec(new.process).map_err(|e| RunError::Failed(domain::Error::because("exec process", e)))?;
        let request = ExecProcessRequest {
            container_id: new.container.to_owned(),
            exec_id: new.exec.to_owned(),
            stdin: new.stdin,
            stdout: new.stdout,
            stderr: new.stderr,
            terminal: new.process.terminal().unwrap_or(false),
            spec: Some(Any { type_url: PROCESS_TYPE.to_owned(), value }),
        };
        self.tasks().exec(self.request(request)).await.map_err(|s| RunError::of("tasks.exec", s))?;
        Ok(())
    }

    /// Process ids on the host.
    pub async fn pids(&self, id: &str) -> Result<Vec<u32>> {
        let request = self.request(ListPidsRequest { container_id: id.to_owned() });
        let listed = self.tasks().list_pids(request).await.map_err(|s| failed("tasks.list_pids", s))?;
        Ok(listed.into_inner().processes.into_iter().map(|p| p.pid).collect())
    }

    /// All tasks, ended ones too.
    pub async fn list_tasks(&self) -> Result<Vec<Task>> {
        let request = self.request(ListTasksRequest { filter: String::new() });
        let listed = self.tasks().list(request).await.map_err(|s| failed("tasks.list", s))?;
        Ok(listed.into_inner().tasks.into_iter().map(into_task).collect())
    }
}

fn into_task(process: containerd_client::types::v1::Process) -> Task {
    let exit = Exit::new(process.exit_status, process.exited_at.as_ref().and_then(time).unwrap_or_else(Utc::now));
    let state = match process.status() {
        TaskStatus::Created => TaskState::Created,
        TaskStatus::Paused | TaskStatus::Pausing => TaskState::Paused,
        TaskStatus::Stopped => TaskState::Stopped(exit),
        // A shim that does not answer in time reads as unknown: its processes are there until an exit says otherwise.
        TaskStatus::Running | TaskStatus::Unknown => TaskState::Running,
    };
    Task { id: process.id, pid: process.pid, state, terminal: process.terminal }
}

/// None for the zero time that containerd sends for "has not happened".
pub(super) fn time(stamp: &Timestamp) -> Option<DateTime<Utc>> {
    let nanos = u32::try_from(stamp.nanos).ok()?;
    DateTime::from_timestamp(stamp.seconds, nanos).filter(|t| t.timestamp() > 0)
}
