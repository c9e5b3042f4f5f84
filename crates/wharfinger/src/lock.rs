//! One `up` for each data directory: an flock on a file that holds the supervisor's process id.
//!
//! The kernel drops the lock when the process dies, however it dies; the number in the file then means nothing.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::FileExt as _,
};

use domain::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::layout::Layout;

/// Held as long as it lives.
pub(crate) struct Lock(#[allow(dead_code)] Flock<File>);

/// Who has it, when it is taken.
pub(crate) enum Attempt {
    Taken(Lock),
    HeldBy(i32),
}

/// Takes the lock without waiting. The data directory must exist.
pub(crate) fn attempt(layout: &Layout) -> Result<Attempt> {
    let path = layout.data.join("lock");
    let failed = |e: std::io::Error| Error::because(format!("locking {}", path.display()), e);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => {
            lock.set_len(0).map_err(failed)?;
            lock.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0).map_err(failed)?;
            (&*lock).flush().map_err(failed)?;
            Ok(Attempt::Taken(Lock(lock)))
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(failed)?;
            Ok(Attempt::HeldBy(text.trim().parse().unwrap_or(0)))
        }
        Err((_, e)) => Err(failed(e.into())),
    }
}

/// For `up`: a second start is an error that says what to do.
pub(crate) fn take(layout: &Layout) -> Result<Lock> {
    match attempt(layout)? {
        Attempt::Taken(lock) => Ok(lock),
        Attempt::HeldBy(pid) => Err(Error::conflict(format!(
            "wharfinger is already up on {} (process {pid}); stop it with `wharfinger down --data-dir {}`",
            layout.data.display(),
            layout.data.display(),
        ))),
    }
}
