//! `stat PATH`: what Docker wants to know of a path before it copies.
//!
//! Output: the length of what follows (4 bytes, little-endian), one line `size mode mtime_s mtime_ns` in decimal (mode as in
//! `st_mode`), then, for a symbolic link, its target evaluated to an absolute path of the container. Names may be any bytes,
//! so this is no JSON. `get` begins with the same record.

use std::{
    io::Write,
    os::fd::{AsFd, OwnedFd},
};

use crate::{
    failure::{Failure, Outcome},
    path, sys,
};

/// What `path` names, the record written.
pub(crate) fn print(path: &[u8], out: &mut impl Write) -> Outcome<()> {
    let (record, _, _) = look(path)?;
    out.write_all(&record).map_err(Failure::internal)
}

/// The record, the descriptor (O_PATH) and what it is.
pub(crate) fn look(path: &[u8]) -> Outcome<(Vec<u8>, OwnedFd, libc::stat)> {
    let failed = |e| Failure::looking("lstat", path, &e);
    let found = path::look(path).map_err(failed)?;
    let data = sys::stat(found.as_fd()).map_err(failed)?;
    let mut text = format!("{} {} {} {}\n", data.st_size, data.st_mode, data.st_mtime, data.st_mtime_nsec).into_bytes();
    if sys::kind(&data) == libc::S_IFLNK {
        text.extend_from_slice(&path::evaluate(path).map_err(failed)?);
    }
    let mut record = u32::try_from(text.len()).map_err(Failure::internal)?.to_le_bytes().to_vec();
    record.append(&mut text);
    Ok((record, found, data))
}
