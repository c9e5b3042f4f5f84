//! Where a verb works. See `main` for the words.
//!
//! - `running PID UID_BASE CONTAINER_ID`: what the process sees.
//! - `still USER_NS AT overlay DIR OPTIONS rw|ro [bind SOURCE TARGET rw|ro]...`: mounts made for this call on the directory
//!   AT, in a mount namespace that ends with us; `bind SOURCE` in place of `overlay DIR OPTIONS` for a root without layers.
//!   OPTIONS name their directories relative to DIR: the kernel takes one page of them.
//! - `layers AT UPPER DIR LOWER`: a container's own layer, and those below it as LOWER (`a:b`, relative to DIR), for `changes`.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use crate::{
    failure::{Failure, Outcome},
    namespaces::{self, Process},
    sys,
};

pub(crate) enum Place<'a> {
    Running { pid: &'a [u8], uid_base: &'a [u8], container: &'a [u8] },
    Still(Still<'a>),
    Layers { at: &'a [u8], upper: &'a [u8], dir: &'a [u8], lower: &'a [u8] },
}

pub(crate) struct Still<'a> {
    user_ns: &'a [u8],
    at: &'a [u8],
    root: Root<'a>,
    readonly: bool,
    binds: Vec<Bind<'a>>,
}

enum Root<'a> {
    Overlay { dir: &'a [u8], options: &'a [u8] },
    Bind(&'a [u8]),
}

struct Bind<'a> {
    source: &'a [u8],
    target: &'a [u8],
    readonly: bool,
}

/// The two sides of `changes`. None: the image has no layers.
pub(crate) struct Layers {
    pub(crate) upper: OwnedFd,
    pub(crate) lower: Option<OwnedFd>,
}

impl<'a> Place<'a> {
    pub(crate) fn parse(words: &[&'a [u8]]) -> Option<Self> {
        match words {
            [b"running", pid, uid_base, container] => Some(Self::Running { pid, uid_base, container }),
            [b"still", user_ns, at, b"overlay", dir, options, access, binds @ ..] => {
                Still::new(user_ns, at, Root::Overlay { dir, options }, access, binds).map(Self::Still)
            }
            [b"still", user_ns, at, b"bind", source, access, binds @ ..] => {
                Still::new(user_ns, at, Root::Bind(source), access, binds).map(Self::Still)
            }
            [b"layers", at, upper, dir, lower] => Some(Self::Layers { at, upper, dir, lower }),
            _ => None,
        }
    }

    /// `bare`: the root file system alone.
    pub(crate) fn enter(&self, bare: bool) -> Outcome<()> {
        sys::remember_own_files().map_err(|e| Failure::internal(format!("/proc/self/fd: {e}")))?;
        match self {
            Self::Running { pid, uid_base, container } => Process::find(pid, uid_base, container)?.enter(bare),
            Self::Still(still) => still.enter(bare).map_err(|e| Failure::internal(format!("mounting: {e}"))),
            Self::Layers { .. } => Err(Failure::internal("layers are for changes alone")),
        }
    }

    pub(crate) fn layers(&self) -> Outcome<Layers> {
        let Self::Layers { at, upper, dir, lower } = self else {
            return Err(Failure::internal("changes are told from layers alone"));
        };
        open_layers(at, upper, dir, lower).map_err(|e| Failure::internal(format!("layers: {e}")))
    }
}

impl<'a> Still<'a> {
    fn new(user_ns: &'a [u8], at: &'a [u8], root: Root<'a>, access: &[u8], binds: &[&'a [u8]]) -> Option<Self> {
        let bind = |words: &[&'a [u8]]| match words {
            [b"bind", source, target, access] => Some(Bind { source, target, readonly: is_readonly(access)? }),
            _ => None,
        };
        let binds = binds.chunks(4).map(bind).collect::<Option<_>>()?;
        Some(Self { user_ns, at, root, readonly: is_readonly(access)?, binds })
    }

    fn enter(&self, bare: bool) -> io::Result<()> {
        let user_ns = sys::open(sys::here(), &sys::terminated(self.user_ns)?, libc::O_RDONLY, 0, 0)?;
        sys::unshare_mounts()?;
        // Nothing below the root can be opened as a device.
        let readonly = if self.readonly { libc::MS_RDONLY } else { 0 };
        let at = sys::terminated(self.at)?;
        match &self.root {
            Root::Overlay { dir, options } => {
                std::env::set_current_dir(std::ffi::OsStr::from_bytes(dir))?;
                let flags = libc::MS_NODEV | readonly;
                sys::mount(c"overlay", &at, c"overlay", flags, &sys::terminated(options)?)?;
            }
            Root::Bind(source) => {
                sys::mount(&sys::terminated(source)?, &at, c"", libc::MS_BIND, c"")?;
                let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_NODEV | readonly;
                sys::mount(c"none", &at, c"", flags, c"")?;
            }
        }
        let root = directory(self.at)?;
        for bind in self.binds.iter().filter(|_| !bare) {
            bind.mount(&root)?;
        }
        namespaces::become_containers(user_ns.as_fd(), root.as_fd())
    }
}

impl Bind<'_> {
    /// A directory that the root lacks is made, as a start would; in one that takes no writes it is left out.
    fn mount(&self, root: &OwnedFd) -> io::Result<()> {
        let target = self.target.strip_prefix(b"/").unwrap_or(self.target);
        let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
        let tree = sys::clone_mount(sys::here(), &sys::terminated(self.source)?)?;
        sys::restrict(tree.as_fd(), self.readonly)?;
        let is_dir = sys::is_dir(&sys::stat(tree.as_fd())?);
        let found = sys::open(root.as_fd(), &sys::terminated(target)?, libc::O_PATH, 0, resolve);
        let target = match found.or_else(|e| if is_dir { make(root, target) } else { Err(e) }) {
            Ok(target) => target,
            Err(_) => return Ok(()),
        };
        match sys::attach_mount(tree.as_fd(), target.as_fd()) {
            // A directory where the file should be, or the other way round.
            Err(e) if e.raw_os_error() == Some(libc::ENOTDIR) => Ok(()),
            outcome => outcome,
        }
    }
}

/// Directories of the same owner as those they are in.
fn make(root: &OwnedFd, path: &[u8]) -> io::Result<OwnedFd> {
    let mut dir = sys::open(root.as_fd(), c".", libc::O_RDONLY | libc::O_DIRECTORY, 0, 0)?;
    for part in path.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
        let name = sys::terminated(part)?;
        let owner = sys::stat(dir.as_fd())?;
        match sys::make_dir(dir.as_fd(), &name, 0o755) {
            Ok(()) => sys::own(dir.as_fd(), &name, owner.st_uid, owner.st_gid)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        dir = sys::open_child(dir.as_fd(), &name, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    }
    Ok(dir)
}

fn is_readonly(access: &[u8]) -> Option<bool> {
    match access {
        b"ro" => Some(true),
        b"rw" => Some(false),
        _ => None,
    }
}

fn open_layers(at: &[u8], upper: &[u8], dir: &[u8], lower: &[u8]) -> io::Result<Layers> {
    let upper = directory(upper)?;
    std::env::set_current_dir(std::ffi::OsStr::from_bytes(dir))?;
    let lower = match lower {
        b"" => None,
        one if !one.contains(&b':') => Some(directory(one)?),
        several => {
            sys::unshare_mounts()?;
            std::env::set_current_dir(std::ffi::OsStr::from_bytes(dir))?;
            let options = sys::terminated(&[b"lowerdir=", several].concat())?;
            sys::mount(c"overlay", &sys::terminated(at)?, c"overlay", libc::MS_NODEV | libc::MS_RDONLY, &options)?;
            Some(directory(at)?)
        }
    };
    namespaces::become_reader()?;
    Ok(Layers { upper, lower })
}

fn directory(path: &[u8]) -> io::Result<OwnedFd> {
    sys::open(sys::here(), &sys::terminated(path)?, libc::O_RDONLY | libc::O_DIRECTORY, 0, 0)
}
