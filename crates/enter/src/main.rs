//! `wharfinger-enter PID VERB ...`: does something to a container's files as the container's root would, seen from inside.
//!
//! It joins the user and mount namespaces of PID and makes that process's root its own, so volumes are there, ids are
//! right, and no symbolic link leads outside. It stays out of the container's pid namespace: nothing inside can see it.
//! A process of its own, and one thread, since the kernel lets no other enter a user namespace.
//!
//! Verbs: `stat PATH`. Exit codes: 0; 2 if the path does not exist; 1 otherwise, with the reason on stderr.

mod namespaces;
mod stat;

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

const NOT_FOUND: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).collect();
    let outcome = match args.as_slice() {
        [pid, verb, path] if verb == "stat" => stat_in(&pid.to_string_lossy(), Path::new(path)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "usage: wharfinger-enter PID stat PATH")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "{e}");
            let missing = matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
            if missing { ExitCode::from(NOT_FOUND) } else { ExitCode::FAILURE }
        }
    }
}

fn stat_in(pid: &str, path: &Path) -> io::Result<()> {
    // A process that is gone is no missing path.
    namespaces::enter(pid).map_err(|e| io::Error::other(format!("entering {pid}: {e}")))?;
    stat::print(path, &mut io::stdout().lock())
}
