//! `wharfinger down`: asks the supervisor to stop and waits; with `--purge`, removes the system from the machine.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use domain::{Error, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    layout::Layout,
    lock::{Attempt, Lock, attempt},
    purge, say,
};

/// The supervisor stops five groups in turn, each within its own grace.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) fn run(layout: &Layout, purge: bool) -> Result<()> {
    if !layout.data.exists() && !layout.run.exists() {
        say::line(format_args!("nothing in {}", layout.data.display()));
        return Ok(());
    }
    if purge {
        layout.check_ours()?;
    }
    // Held to the end, so that no `up` starts into what is being removed.
    let lock = if layout.data.exists() { Some(stop(layout)?) } else { None };
    if purge {
        purge::run(layout)?;
        say::line(format_args!("removed {} and everything that ran from it", layout.data.display()));
    } else {
        say::line("stopped; containers run on, `wharfinger up` takes them over");
    }
    drop(lock);
    Ok(())
}

/// Returns when nobody supervises any more, with the lock that proves it.
fn stop(layout: &Layout) -> Result<Lock> {
    let began = Instant::now();
    let mut asked = None;
    loop {
        match attempt(layout)? {
            Attempt::Taken(lock) => return Ok(lock),
            Attempt::HeldBy(pid) if pid > 0 && asked != Some(pid) => {
                kill(Pid::from_raw(pid), Signal::SIGTERM)
                    .map_err(|e| Error::because(format!("stopping process {pid}"), e))?;
                asked = Some(pid);
            }
            Attempt::HeldBy(pid) if began.elapsed() > STOPPED_WITHIN => {
                return Err(Error::unavailable(format!("process {pid} does not stop")));
            }
            Attempt::HeldBy(_) => sleep(LOOK_EVERY),
        }
    }
}
