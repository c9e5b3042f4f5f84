//! `rm -rf` of one name, without following anything.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, BorrowedFd},
};

use crate::{
    limits, sys,
    walk::{self, Level},
};

/// Whatever `name` below `dir` is. One that is not there is fine.
pub(crate) fn all(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    if let Some(()) = plain(dir, name)? {
        return Ok(());
    }
    let mut stack: Vec<(Level, CString)> = Vec::new();
    push(&mut stack, dir, name)?;
    while let Some((level, _)) = stack.last_mut() {
        match level.next() {
            Some(child) => {
                if plain(level.dir.as_fd(), &child)?.is_none() {
                    let parent = level.dir.try_clone()?;
                    push(&mut stack, parent.as_fd(), &child)?;
                }
            }
            None => {
                let Some((_, own)) = stack.pop() else { break };
                let above = stack.last().map_or(dir, |(level, _)| level.dir.as_fd());
                missing_is_fine(sys::unlink(above, &own, true))?;
            }
        }
    }
    Ok(())
}

/// Some: it was no directory, and is gone.
fn plain(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<()>> {
    match sys::unlink(dir, name, false) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EISDIR | libc::EPERM)) => match sys::stat_child(dir, name) {
            Ok(data) if sys::is_dir(&data) => Ok(None),
            _ => Err(e),
        },
        outcome => missing_is_fine(outcome).map(Some),
    }
}

fn push(stack: &mut Vec<(Level, CString)>, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    if stack.len() >= limits::DEPTH_MAX {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    if let Some(found) = walk::descend(dir, name)? {
        stack.push((Level::new(found, 0)?, name.to_owned()));
    }
    Ok(())
}

fn missing_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    walk::gone(outcome).map(|_| ())
}
