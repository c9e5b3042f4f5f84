//! `wharfinger-enter PLACE -- VERB ...`: does something to a container's files as the container's root would, seen from inside.
//!
//! A running container is entered: its user namespace, its mounts, its root. For one that does not run, the same is built
//! in a mount namespace of our own. From then on no path leads outside, ids are the container's, and the capabilities are
//! those that files need. Everything inside is a stranger's and may change at any moment: see `path` and `sys`.
//! It stays out of the container's pid namespace: nothing inside can see it. A process of its own, and one thread, since
//! the kernel lets no other enter a user namespace.
//!
//! Places: `running PID UID_BASE CONTAINER_ID`, `still ...` and `layers ...` (see `place`). Verbs: `stat PATH`, `get PATH`,
//! `put PATH NO_OVERWRITE OWNER`, `export`, `changes`. What goes wrong is told on stderr and by the exit code: see `failure`.

mod changes;
mod failure;
mod limits;
mod namespaces;
mod pack;
mod path;
mod place;
mod remove;
mod stat;
mod sys;
mod tar;
mod unpack;
mod walk;

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    os::unix::ffi::OsStringExt,
    process::ExitCode,
};

use failure::{Failure, Outcome};
use place::Place;

fn main() -> ExitCode {
    let args: Vec<Vec<u8>> = env::args_os().skip(1).map(OsString::into_vec).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = io::stderr().write_all(&failure.text);
            ExitCode::from(failure.kind as u8)
        }
    }
}

fn run(args: &[Vec<u8>]) -> Outcome<()> {
    let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    let at = words.iter().position(|word| *word == b"--").ok_or_else(usage)?;
    let (place, verb) = (Place::parse(&words[..at]).ok_or_else(usage)?, &words[at + 1..]);
    let (mut input, mut output) = (io::stdin().lock(), sys::stdout());
    match verb {
        [b"stat", path] => {
            place.enter(false)?;
            stat::print(path, &mut output)
        }
        [b"get", path] => {
            place.enter(false)?;
            pack::get(path, &mut output)
        }
        [b"put", path, no_overwrite, owner] => {
            place.enter(false)?;
            let rules = unpack::Rules::parse(no_overwrite, owner).ok_or_else(usage)?;
            unpack::put(path, rules, &mut input, &mut output)
        }
        [b"export"] => {
            place.enter(true)?;
            pack::export(&mut output)
        }
        [b"changes"] => changes::print(&place.layers()?, &mut output),
        _ => Err(usage()),
    }
}

fn usage() -> Failure {
    Failure::internal("usage: wharfinger-enter PLACE -- VERB ...")
}
