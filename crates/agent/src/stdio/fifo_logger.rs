//! The logger of a container whose stdin is open and that has no terminal: started by us, with FIFOs between.
//!
//! containerd's shim connects no stdin to a process whose output goes to a `binary://` logger. With FIFOs it does, so
//! for these containers we start the same logger ourselves. It is in a session of its own and outlives us; the shim
//! keeps both ends of the FIFOs open, so the container is not killed by SIGPIPE should the logger die.
#![allow(unsafe_code)] // the child's descriptors 3, 4 and 5: std has no way to hand them over

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    process::Stdio,
};

use domain::{Error, LogSpec, Result};
use nix::fcntl::{FcntlArg, fcntl};
use tokio::{process::Command, task::spawn_blocking};

use super::{
    paths::{LOGGER, Paths, limits},
    stdin::make_fifo,
};

const PIPE_BYTES: i32 = 1 << 20;
/// Above the numbers that the logger expects, so that no copy overwrites another one's source.
const FIRST_FREE: RawFd = 16;

/// For `Tasks.Create`. To be kept until that has answered: an end without a writer would tell the logger to stop.
#[derive(Debug)]
pub struct FifoLogger {
    pub stdout: PathBuf,
    pub stderr: PathBuf,
    _writers: [File; 2],
}

/// Returns once the logger accepts followers.
pub async fn start_logger(helpers: &Path, paths: &Paths, log: &LogSpec) -> Result<FifoLogger> {
    let started = start(helpers, paths, log).map_err(|e| Error::because("starting a logger", e));
    let (logger, mut ready) = started?;
    let wait = spawn_blocking(move || ready.read(&mut [0]));
    match wait.await {
        Ok(Ok(_)) => Ok(logger),
        Ok(Err(e)) => Err(Error::because("waiting for a logger", e)),
        Err(e) => Err(Error::because("waiting for a logger", e)),
    }
}

fn start(helpers: &Path, paths: &Paths, log: &LogSpec) -> io::Result<(FifoLogger, File)> {
    let (stdout, stderr) = (paths.stdin.with_file_name("stdout"), paths.stdin.with_file_name("stderr"));
    let (stdout_writer, stdout_reader) = open(&stdout)?;
    let (stderr_writer, stderr_reader) = open(&stderr)?;
    let (ready, ready_writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let sources = [lift(stdout_reader)?, lift(stderr_reader)?, lift(ready_writer)?];
    let (max_bytes, max_files) = limits(log);
    let mut command = Command::new(helpers.join(LOGGER));
    command.arg("dir").arg(&paths.log_dir).arg("socket").arg(&paths.log_socket);
    command.args(["max_bytes", &max_bytes.to_string(), "max_files", &max_files.to_string(), "tty", "0"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let numbers = sources.each_ref().map(AsRawFd::as_raw_fd);
    // SAFETY: dup2 is async-signal-safe, and the closure owns nothing but three numbers of open descriptors.
    unsafe { command.pre_exec(move || hand_over(numbers)) };
    command.spawn()?; // reaped by tokio
    Ok((FifoLogger { stdout, stderr, _writers: [stdout_writer, stderr_writer] }, File::from(ready)))
}

/// A writer that keeps the FIFO open, and the logger's end.
fn open(path: &Path) -> io::Result<(File, OwnedFd)> {
    make_fifo(path)?;
    let writer = File::options().read(true).write(true).open(path)?;
    let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)); // refused: a smaller pipe does as well
    let reader = File::open(path)?;
    Ok((writer, reader.into()))
}

fn lift(fd: OwnedFd) -> io::Result<OwnedFd> {
    let copy = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(FIRST_FREE))?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

fn hand_over(sources: [RawFd; 3]) -> io::Result<()> {
    for (source, target) in sources.into_iter().zip(3..) {
        // SAFETY: plain numbers; the copies are meant to survive the exec.
        if unsafe { libc::dup2(source, target) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
