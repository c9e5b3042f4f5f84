//! `changes`: what a container's own layer adds to those below it, as dockerd's comparison of the two trees tells it. Read
//! from the upper layer, so the work is as large as the changes.
//!
//! Output: for each a byte (`C`, `A`, `D`), the path, a NUL. A directory is changed when its owner or mode is, or something
//! in it; its times say nothing. Of a removed or added-over tree only the top is told. What the runtime makes for its own
//! mounts is not told: dockerd keeps that in a layer of its own.

use std::{
    ffi::CStr,
    io::{self, BufWriter, Write},
    os::fd::{AsFd, OwnedFd},
};

use crate::{
    failure::{Failure, Outcome},
    limits,
    place::Layers,
    sys,
    walk::{self, Level},
};

/// The runtime's mount points.
const OF_THE_RUNTIME: [&[u8]; 11] = [
    b"/dev",
    b"/dev/console",
    b"/dev/mqueue",
    b"/dev/pts",
    b"/dev/shm",
    b"/etc",
    b"/etc/hostname",
    b"/etc/hosts",
    b"/etc/resolv.conf",
    b"/proc",
    b"/sys",
];

pub(crate) fn print(layers: &Layers, out: &mut impl Write) -> Outcome<()> {
    let mut found = Changes::default();
    found.tree(layers).map_err(|e| Failure::internal(format!("comparing layers: {e}")))?;
    let mut told: Vec<(u8, Vec<u8>)> = found.0.into_iter().flatten().collect();
    // A directory stands right before what is in it.
    told.sort_by(|(_, a), (_, b)| a.split(|c| *c == b'/').cmp(b.split(|c| *c == b'/')));
    let mut out = BufWriter::with_capacity(limits::BUFFER_BYTES, out);
    let mut write = || {
        for (kind, path) in &told {
            out.write_all(&[*kind])?;
            out.write_all(path)?;
            out.write_all(&[0])?;
        }
        out.flush()
    };
    write().map_err(Failure::internal)
}

/// In the order of the walk. None: a directory with nothing to tell.
#[derive(Default)]
struct Changes(Vec<Option<(u8, Vec<u8>)>>);

/// A directory of the upper layer on the way down.
struct Pair {
    level: Level,
    /// Its counterpart below. None: nothing of that name, or not a directory.
    lower: Option<OwnedFd>,
    /// Its own place among the changes, reserved before its contents are known.
    place: usize,
    /// It is new, and has nothing in it that is told so far.
    hollow: bool,
}

impl Changes {
    fn tree(&mut self, layers: &Layers) -> io::Result<()> {
        let lower = layers.lower.as_ref().map(OwnedFd::try_clone).transpose()?;
        let mut path = Vec::new();
        let top = Level::new(layers.upper.try_clone()?, 0)?;
        let mut stack = vec![Pair { level: top, lower, place: usize::MAX, hollow: false }];
        while let Some(pair) = stack.last_mut() {
            path.truncate(pair.level.path_len);
            let Some(name) = pair.level.next() else {
                let Some(done) = stack.pop() else { break };
                self.close(done, &path);
                continue;
            };
            path.push(b'/');
            path.extend_from_slice(name.to_bytes());
            if path.len() > limits::PATH_MAX_BYTES || stack.len() >= limits::DEPTH_MAX {
                continue;
            }
            let Some(pair) = stack.last() else { break };
            let below = self.child(pair, &name, &path)?;
            stack.extend(below);
        }
        Ok(())
    }

    fn child(&mut self, above: &Pair, name: &CStr, path: &[u8]) -> io::Result<Option<Pair>> {
        let Some(new) = walk::gone(sys::stat_child(above.level.dir.as_fd(), name))? else { return Ok(None) };
        let old = match &above.lower {
            Some(dir) => walk::gone(sys::stat_child(dir.as_fd(), name))?,
            None => None,
        };
        if sys::kind(&new) == libc::S_IFCHR && new.st_rdev == 0 {
            if old.is_some() {
                self.tell(b'D', path);
            }
            return Ok(None);
        }
        if !sys::is_dir(&new) {
            match old {
                None if is_runtimes(path) && new.st_size == 0 => {}
                None => self.tell(b'A', path),
                Some(old) if differs(&old, &new) => self.tell(b'C', path),
                Some(_) => {}
            }
            return Ok(None);
        }
        let Some(dir) = walk::descend(above.level.dir.as_fd(), name)? else { return Ok(None) };
        let lower = match (&above.lower, &old) {
            (Some(lower), Some(data)) if sys::is_dir(data) => walk::descend(lower.as_fd(), name)?,
            _ => None,
        };
        let place = self.0.len();
        let hollow = old.is_none() && is_runtimes(path);
        self.0.push(match &old {
            None if hollow => None,
            None => Some((b'A', path.to_vec())),
            Some(old) => differs(old, &new).then(|| (b'C', path.to_vec())),
        });
        if let Some(lower) = &lower
            && is_opaque(&dir)
        {
            self.missing(&dir, lower, path)?;
        }
        Ok(Some(Pair { level: Level::new(dir, path.len())?, lower, place, hollow }))
    }

    /// An opaque directory hides what is below it: what it does not have itself is removed.
    fn missing(&mut self, dir: &OwnedFd, lower: &OwnedFd, path: &[u8]) -> io::Result<()> {
        for name in sys::names(lower)? {
            if walk::gone(sys::stat_child(dir.as_fd(), &name))?.is_none() {
                self.tell(b'D', &[path, b"/", name.to_bytes()].concat());
            }
        }
        Ok(())
    }

    /// A directory in which something is told is told as well.
    fn close(&mut self, done: Pair, path: &[u8]) {
        let has_told =
            self.0.get(done.place.saturating_add(1)..).is_some_and(|below| below.iter().any(Option::is_some));
        if let (true, Some(place @ None)) = (has_told, self.0.get_mut(done.place)) {
            *place = Some((if done.hollow { b'A' } else { b'C' }, path.to_vec()));
        }
    }

    fn tell(&mut self, kind: u8, path: &[u8]) {
        self.0.push(Some((kind, path.to_vec())));
    }
}

fn is_runtimes(path: &[u8]) -> bool {
    OF_THE_RUNTIME.contains(&path)
}

fn differs(old: &libc::stat, new: &libc::stat) -> bool {
    let identity = |s: &libc::stat| (s.st_mode, s.st_uid, s.st_gid, s.st_rdev);
    let content = |s: &libc::stat| (s.st_mtime, s.st_mtime_nsec, s.st_size);
    identity(old) != identity(new) || (!sys::is_dir(new) && content(old) != content(new))
}

fn is_opaque(dir: &OwnedFd) -> bool {
    sys::attribute(dir.as_fd(), c"trusted.overlay.opaque").is_some_and(|value| value == b"y")
}
