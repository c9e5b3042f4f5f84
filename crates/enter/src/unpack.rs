//! `put PATH NO_OVERWRITE OWNER`: an archive from stdin into the directory PATH, by dockerd's rules.
//!
//! One byte on stdout says that PATH is a directory that takes writes; only then is the archive wanted. NO_OVERWRITE (`0`,
//! `1`): a directory and a file do not replace each other. OWNER (`uid:gid` or nothing): of everything, in place of the
//! archive's own. Names with `.wh.` in front are plain names: this is no layer.
//!
//! Names are joined to PATH, links in them lead where they lead inside the container. A file is always made anew and never
//! written through, so nothing that the container puts in our way (a link, a pipe, a device) is opened.

use std::{
    ffi::CString,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
};

use crate::{
    failure::{Failure, Kind, Outcome},
    limits, path, remove, sys,
    tar::{self, Archive, Entry},
};

/// The tenant's range; what is beyond it becomes root's.
const IDS: u64 = 65536;
/// Directories whose times are set later; beyond it they are set at once.
const LATER_MAX_BYTES: usize = 32 << 20;

pub(crate) struct Rules {
    no_overwrite: bool,
    owner: Option<(u32, u32)>,
}

impl Rules {
    pub(crate) fn parse(no_overwrite: &[u8], owner: &[u8]) -> Option<Self> {
        let owner = match std::str::from_utf8(owner).ok()? {
            "" => None,
            text => text.split_once(':').map(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)))?,
        };
        Some(Self { no_overwrite: no_overwrite == b"1", owner })
    }
}

pub(crate) fn put(to: &[u8], rules: Rules, input: &mut impl Read, output: &mut impl Write) -> Outcome<()> {
    sys::widen_pipe(0);
    let (dir, path) = destination(to)?;
    output.write_all(b"\n").map_err(Failure::internal)?;
    let mut archive = Archive::new(input);
    let buffer = vec![0; limits::BUFFER_BYTES];
    let mut unpacker = Unpacker { dir, path, rules, buffer, parent: None, later: Vec::new(), later_bytes: 0 };
    while let Some(entry) = archive.next()? {
        unpacker.entry(entry, &mut archive)?;
    }
    unpacker.set_times();
    archive.drain();
    Ok(())
}

/// The directory and its path without links.
fn destination(to: &[u8]) -> Outcome<(OwnedFd, Vec<u8>)> {
    let failed = |e| Failure::looking("lstat", to, &e);
    let path = path::evaluate(to).map_err(failed)?;
    let dir = match path::directory(sys::here(), to) {
        Err(e) if e.raw_os_error() == Some(libc::ENOTDIR) => {
            return Err(Failure::invalid("extraction point is not a directory"));
        }
        outcome => outcome.map_err(failed)?,
    };
    if sys::is_readonly(dir.as_fd()).map_err(failed)? {
        let device = |fd| sys::stat(fd).map(|data| data.st_dev);
        let root = path::directory(sys::here(), b"/").map_err(failed)?;
        let is_root = device(root.as_fd()).map_err(failed)? == device(dir.as_fd()).map_err(failed)?;
        let text = if is_root { "container rootfs is marked read-only" } else { "mounted volume is marked read-only" };
        return Err(Failure::forbidden(text));
    }
    Ok((dir, path))
}

struct Unpacker {
    dir: OwnedFd,
    /// Of `dir`, for messages.
    path: Vec<u8>,
    rules: Rules,
    buffer: Vec<u8>,
    /// The directory of the last entry.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Directories, whose times change while they are filled.
    later: Vec<(Vec<u8>, (i64, i64))>,
    later_bytes: usize,
}

/// Where an entry goes.
struct Spot {
    parent: OwnedFd,
    name: CString,
    /// Relative to the destination, with a slash in front.
    relative: Vec<u8>,
    /// For messages.
    path: Vec<u8>,
}

impl Spot {
    fn directory(&self) -> &[u8] {
        &self.path[..self.path.iter().rposition(|b| *b == b'/').unwrap_or(0)]
    }
}

impl Unpacker {
    fn entry(&mut self, entry: Entry, archive: &mut Archive<impl Read>) -> Outcome<()> {
        let (above, parts) = path::components(&entry.name);
        if above > 0 {
            return Err(self.outside(&entry.name));
        }
        let Some((last, parents)) = parts.split_last() else { return Ok(()) };
        refuse_kind(&entry)?;
        let relative = path::joined(&parts);
        let parent = self.parent(&path::joined(parents), parents)?;
        let name = sys::terminated(last).map_err(|e| Failure::of("open", &relative, &e))?;
        let path = self.named(&relative);
        let spot = Spot { parent, name, relative, path };
        let merge = self.clear(&spot, entry.kind)?;
        self.make(&spot, &entry, archive, merge).map_err(|e| match e {
            Step::Failed(failure) => failure,
            Step::System(operation, e) => Failure::of(operation, &spot.path, &e),
        })
    }

    fn named(&self, relative: &[u8]) -> Vec<u8> {
        if self.path == b"/" { relative.to_vec() } else { [&self.path[..], relative].concat() }
    }

    fn outside(&self, name: &[u8]) -> Failure {
        Failure::invalid([b"\"", name, b"\" is outside of \"", &self.path, b"\""].concat())
    }

    /// What is in the way goes. True: a directory that stays, since the entry is one as well.
    fn clear(&mut self, spot: &Spot, kind: u8) -> Outcome<bool> {
        let data = match sys::stat_child(spot.parent.as_fd(), &spot.name) {
            Ok(data) => data,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(Failure::of("lstat", &spot.path, &e)),
        };
        let (was, comes) = (sys::is_dir(&data), kind == tar::DIRECTORY);
        if was && comes {
            return Ok(true);
        }
        if self.rules.no_overwrite && was != comes {
            let words = if was { ("directory", "non-directory") } else { ("non-directory", "directory") };
            let text = [b"cannot overwrite ", words.0.as_bytes(), b" \"", &spot.path, b"\" with ", words.1.as_bytes()];
            return Err(Failure::invalid([&text.concat()[..], b" \"", &self.path, b"\""].concat()));
        }
        // It may be the directory that we keep open.
        self.parent = None;
        remove::all(spot.parent.as_fd(), &spot.name).map_err(|e| Failure::of("unlinkat", &spot.path, &e))?;
        Ok(false)
    }

    /// The directory of an entry; those that the archive does not have are made, as root's.
    fn parent(&mut self, relative: &[u8], parts: &[&[u8]]) -> Outcome<OwnedFd> {
        let failed = |operation, path: &[u8], e: io::Error| Failure::of(operation, path, &e);
        if let Some((known, dir)) = &self.parent
            && known == relative
        {
            return dir.try_clone().map_err(Failure::internal);
        }
        let path = self.named(relative);
        let dir = match path::directory(self.dir.as_fd(), &relative[1..]) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.make_parents(parts, &path)?,
            outcome => outcome.map_err(|e| failed("lstat", &path, e))?,
        };
        let kept = dir.try_clone().map_err(Failure::internal)?;
        self.parent = Some((relative.to_vec(), kept));
        Ok(dir)
    }

    fn make_parents(&self, parts: &[&[u8]], path: &[u8]) -> Outcome<OwnedFd> {
        let failed = |e: io::Error| Failure::of("mkdir", path, &e);
        let mut dir = self.dir.try_clone().map_err(Failure::internal)?;
        for part in parts {
            dir = match path::directory(dir.as_fd(), part) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    sys::make_dir(dir.as_fd(), &sys::terminated(part).map_err(failed)?, 0o755).map_err(failed)?;
                    path::directory(dir.as_fd(), part).map_err(failed)?
                }
                outcome => outcome.map_err(failed)?,
            };
        }
        Ok(dir)
    }

    fn make(&mut self, spot: &Spot, entry: &Entry, archive: &mut Archive<impl Read>, merge: bool) -> Made {
        let (dir, name) = (spot.parent.as_fd(), &*spot.name);
        let (uid, gid) = self.rules.owner.unwrap_or((own_id(entry.uid), own_id(entry.gid)));
        match entry.kind {
            tar::REGULAR => {
                let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
                let file = sys::open_child(dir, name, flags, 0o600).map_err(at("open"))?;
                self.fill(&file, archive)?;
                finish(&file, entry, (uid, gid))?;
                sys::set_time(file.as_fd(), c"", entry.mtime.0, entry.mtime.1).map_err(at("chtimes"))
            }
            tar::DIRECTORY => {
                if !merge {
                    sys::make_dir(dir, name, 0o700).map_err(at("mkdir"))?;
                }
                let made = sys::open_child(dir, name, libc::O_RDONLY | libc::O_DIRECTORY, 0).map_err(at("open"))?;
                finish(&made, entry, (uid, gid))?;
                self.later_bytes += spot.relative.len() + 64;
                self.later.push((spot.relative.clone(), entry.mtime));
                if self.later_bytes > LATER_MAX_BYTES {
                    self.set_times();
                }
                Ok(())
            }
            tar::SYMLINK => {
                self.refuse_escape("symlink", spot, spot.directory(), &entry.link)?;
                let target = sys::terminated(&entry.link).map_err(at("symlink"))?;
                sys::make_link(&target, dir, name).map_err(at("symlink"))?;
                sys::own(dir, name, uid, gid).map_err(at("lchown"))?;
                sys::set_time(dir, name, entry.mtime.0, entry.mtime.1).map_err(at("chtimes"))
            }
            tar::FIFO => {
                sys::make_fifo(dir, name, entry.mode).map_err(at("mkfifo"))?;
                sys::own(dir, name, uid, gid).map_err(at("lchown"))?;
                sys::set_time(dir, name, entry.mtime.0, entry.mtime.1).map_err(at("chtimes"))
            }
            _ => self.link(spot, entry),
        }
    }

    fn fill(&mut self, file: &OwnedFd, archive: &mut Archive<impl Read>) -> Made {
        let mut file = std::fs::File::from(file.try_clone().map_err(at("write"))?);
        loop {
            match archive.read(&mut self.buffer).map_err(Step::Failed)? {
                0 => return Ok(()),
                n => file.write_all(&self.buffer[..n]).map_err(at("write"))?,
            }
        }
    }

    /// The target is a name of the archive: relative to the destination.
    fn link(&mut self, spot: &Spot, entry: &Entry) -> Made {
        self.refuse_escape("hardlink", spot, &self.path, &entry.link)?;
        let (_, parts) = path::components(&entry.link);
        let Some((last, parents)) = parts.split_last() else {
            return Err(Step::System("link", io::Error::from_raw_os_error(libc::EISDIR)));
        };
        let old_dir = path::directory(self.dir.as_fd(), &path::joined(parents)[1..]).map_err(at("link"))?;
        let old = sys::terminated(last).map_err(at("link"))?;
        sys::link(old_dir.as_fd(), &old, spot.parent.as_fd(), &spot.name).map_err(at("link"))
    }

    /// dockerd's rule, by the words of the link alone: it stays below the destination. (What it really leads to is inside the
    /// container in any case.) `from` is the directory that the link counts from.
    fn refuse_escape(&self, what: &str, spot: &Spot, from: &[u8], link: &[u8]) -> Made {
        let whole = [from, b"/", link].concat();
        let (_, target) = path::components(&whole);
        let (_, own) = path::components(&self.path);
        if target.starts_with(&own) {
            return Ok(());
        }
        let text = [b"invalid ", what.as_bytes(), b" \"", &spot.path, b"\" -> \"", link, b"\""];
        Err(Step::Failed(Failure::invalid(text.concat())))
    }

    /// Best effort: the container may have taken a directory away by now.
    fn set_times(&mut self) {
        for (relative, (seconds, nanoseconds)) in self.later.drain(..) {
            if let Ok(dir) = path::directory(self.dir.as_fd(), &relative[1..]) {
                let _ = sys::set_time(dir.as_fd(), c"", seconds, nanoseconds);
            }
        }
        self.later_bytes = 0;
    }
}

/// What went wrong in making an entry.
enum Step {
    Failed(Failure),
    System(&'static str, io::Error),
}

type Made = Result<(), Step>;

fn at(operation: &'static str) -> impl Fn(io::Error) -> Step {
    move |e| Step::System(operation, e)
}

fn refuse_kind(entry: &Entry) -> Outcome<()> {
    match entry.kind {
        tar::REGULAR | tar::HARD_LINK | tar::SYMLINK | tar::DIRECTORY | tar::FIFO => Ok(()),
        tar::CHARACTER | tar::BLOCK => {
            let text = [b"\"", &entry.name[..], b"\": device files are not permitted in an archive (policy E08)"];
            Err(Failure::new(Kind::Forbidden, text.concat()))
        }
        other => Err(Failure::invalid(format!("unhandled tar header type {other}"))),
    }
}

fn own_id(id: u64) -> u32 {
    if id < IDS { id as u32 } else { 0 }
}

/// The owner first: a change of it takes setuid bits and capabilities away.
fn finish(made: &OwnedFd, entry: &Entry, (uid, gid): (u32, u32)) -> Made {
    sys::own(made.as_fd(), c"", uid, gid).map_err(at("lchown"))?;
    sys::set_mode(made.as_fd(), entry.mode).map_err(at("chmod"))?;
    for (name, value) in &entry.attributes {
        // Others are the kernel's and the host's: `trusted.overlay.*` would be read as the overlay's own.
        if !name.starts_with(b"user.") && name != b"security.capability" {
            continue;
        }
        let name = sys::terminated(name).map_err(at("lsetxattr"))?;
        match sys::set_attribute(made.as_fd(), &name, value) {
            // The file system has none, or the value is another namespace's: dockerd goes on as well.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTSUP | libc::EPERM | libc::EINVAL)) => {}
            outcome => outcome.map_err(at("lsetxattr"))?,
        }
    }
    Ok(())
}
