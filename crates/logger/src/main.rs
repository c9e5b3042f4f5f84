//! `wharfinger-logger`: writes one container's output to its log segments and wakes those who follow it.
//!
//! containerd's shim starts it through a `binary://` URI, with stdout of the container as fd 3, stderr as fd 4, and fd 5
//! to be closed once we are ready. It outlives the agent and containerd, and it must outlive its own mishaps: a
//! container that writes to a pipe without a reader is killed by SIGPIPE. So nothing here panics on purpose, a full disk
//! loses output but not the container, signals are ignored, and only the end of both pipes ends the process.
//!
//! One thread does everything. The shim waits for our exit when a task is deleted, so we never linger for a follower:
//! the segments stay on disk, and the closed socket tells it that nothing more will come.

mod args;
mod followers;
mod pump;
mod record;
mod segments;
mod sys;
mod tail;

use std::{
    fs::File,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

fn main() {
    sys::ignore_signals();
    sys::new_session();
    // The streams are owned out here, so that an unwinding pump does not close them.
    let (stdout, stderr, ready) = sys::inherited();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let args = args::Args::parse(std::env::args().skip(1));
        sys::give([&stdout, &stderr], args.owner);
        pump::run(&args, &stdout, &stderr, ready);
    }));
    if outcome.is_err() {
        thread::scope(|s| {
            s.spawn(|| discard(&stderr));
            discard(&stdout);
        });
    }
}

/// The last resort after a defect of ours: read and forget, so that the container lives on.
fn discard(mut stream: &File) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).is_ok_and(|n| n > 0) {}
}
