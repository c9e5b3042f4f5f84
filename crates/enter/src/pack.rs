//! `get PATH` and `export`: a tree as an archive, as dockerd's tarballer writes it.
//!
//! `get` begins with the record of `stat`. A directory's entries are under its base name (`.` for `/a/.`); an export's under
//! the root, without the root itself. Times are cut to seconds, sockets are left out, a further name of a file becomes a hard
//! link. Devices become headers, and are never opened.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Read, Write},
    os::fd::{AsFd, OwnedFd},
};

use crate::{
    failure::{Failure, Outcome},
    limits, path, stat, sys,
    sys::Stdout,
    tar::{self, Header},
    walk::{self, Level},
};

/// Files up to this size go through our buffer, larger ones through the kernel.
const SMALL_BYTES: u64 = 64 << 10;

pub(crate) fn get(path: &[u8], out: &mut Stdout) -> Outcome<()> {
    sys::widen_pipe(1);
    let (record, found, data) = stat::look(path)?;
    let mut packer = Packer::new(out);
    packer.put(&record)?;
    // The root's own name is nothing but its slash.
    let base = Some(path::base(path)).filter(|base| *base != b"/").unwrap_or_default();
    packer.entry(&found, &data, base)?;
    if sys::is_dir(&data) && !packer.is_hidden(&found, &data)? {
        packer.tree(found, base.to_vec(), true)?;
    }
    packer.finish()
}

pub(crate) fn export(out: &mut Stdout) -> Outcome<()> {
    sys::widen_pipe(1);
    let root = path::directory(sys::here(), b"/").map_err(|e| Failure::of("open", b"/", &e))?;
    let mut packer = Packer::new(out);
    packer.tree(root, Vec::new(), false)?;
    packer.finish()
}

struct Packer<'a> {
    out: BufWriter<&'a mut Stdout>,
    /// First name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Device and inode of `/dev`, where something is mounted there: its nodes are the runtime's, not the container's.
    devices: Option<(u64, u64)>,
}

impl<'a> Packer<'a> {
    fn new(out: &'a mut Stdout) -> Self {
        let own = |name| sys::stat_child(sys::here(), name).ok();
        let devices = match (own(c"/"), own(c"/dev")) {
            (Some(root), Some(dev)) if root.st_dev != dev.st_dev => Some((dev.st_dev, dev.st_ino)),
            _ => None,
        };
        Self { out: BufWriter::with_capacity(limits::BUFFER_BYTES, out), links: HashMap::new(), devices }
    }

    /// Everything below `top`, whose own name is `name`; `nested`: the names of its children go behind a slash.
    fn tree(&mut self, top: OwnedFd, mut name: Vec<u8>, nested: bool) -> Outcome<()> {
        let failed = |name: &[u8], e: io::Error| Failure::of("open", name, &e);
        let top = walk::readable(&top).and_then(|dir| Level::new(dir, name.len())).map_err(|e| failed(&name, e))?;
        let mut stack = vec![top];
        while let Some(level) = stack.last_mut() {
            name.truncate(level.path_len);
            let Some(child) = level.next() else {
                stack.pop();
                continue;
            };
            if nested || stack.len() > 1 {
                name.push(b'/');
            }
            name.extend_from_slice(child.to_bytes());
            // Longer ones cannot be named by anybody; dockerd passes them over as well.
            if name.len() > limits::PATH_MAX_BYTES || stack.len() >= limits::DEPTH_MAX {
                continue;
            }
            let Some(level) = stack.last() else { break };
            let found = sys::open_child(level.dir.as_fd(), &child, libc::O_PATH, 0);
            let Some(found) = walk::gone(found).map_err(|e| failed(&name, e))? else { continue };
            let data = sys::stat(found.as_fd()).map_err(|e| failed(&name, e))?;
            self.entry(&found, &data, &name)?;
            if sys::is_dir(&data) && !self.is_hidden(&found, &data)? {
                let below = walk::readable(&found).and_then(|dir| Level::new(dir, name.len()));
                stack.extend(walk::gone(below).map_err(|e| failed(&name, e))?);
            }
        }
        Ok(())
    }

    /// What is in it is not the container's.
    fn is_hidden(&self, dir: &OwnedFd, data: &libc::stat) -> Outcome<bool> {
        let pseudo = path::is_pseudo(dir.as_fd()).map_err(Failure::internal)?;
        Ok(pseudo || self.devices == Some((data.st_dev, data.st_ino)))
    }

    fn entry(&mut self, found: &OwnedFd, data: &libc::stat, name: &[u8]) -> Outcome<()> {
        let failed = |e: io::Error| Failure::of("read", name, &e);
        let mut header = Header {
            kind: tar::REGULAR,
            name,
            link: b"",
            mode: data.st_mode,
            uid: data.st_uid,
            gid: data.st_gid,
            size: 0,
            mtime_s: data.st_mtime,
            device: (0, 0),
            capability: None,
        };
        let kind = sys::kind(data);
        if kind == libc::S_IFDIR {
            let name = [name, b"/"].concat();
            return self.header(&Header { kind: tar::DIRECTORY, name: &name, ..header });
        }
        if kind == libc::S_IFSOCK {
            return Ok(());
        }
        if data.st_nlink > 1 {
            match self.links.get(&(data.st_dev, data.st_ino)) {
                Some(first) => {
                    let first = first.clone();
                    return self.header(&Header { kind: tar::HARD_LINK, link: &first, ..header });
                }
                None if self.links.len() < limits::LINKS_MAX => {
                    self.links.insert((data.st_dev, data.st_ino), name.to_vec());
                }
                None => {}
            }
        }
        let device = (libc::major(data.st_rdev), libc::minor(data.st_rdev));
        match kind {
            libc::S_IFLNK => {
                let target = sys::read_link(found.as_fd(), c"").map_err(failed)?;
                self.header(&Header { kind: tar::SYMLINK, link: &target, ..header })
            }
            libc::S_IFIFO => self.header(&Header { kind: tar::FIFO, ..header }),
            libc::S_IFCHR => self.header(&Header { kind: tar::CHARACTER, device, ..header }),
            libc::S_IFBLK => self.header(&Header { kind: tar::BLOCK, device, ..header }),
            _ => {
                let Some(file) = sys::reopen_regular(found).map_err(failed)? else { return Ok(()) };
                let capability = sys::attribute(file.as_fd(), c"security.capability");
                header.size = u64::try_from(sys::stat(file.as_fd()).map_err(failed)?.st_size).unwrap_or(0);
                self.header(&Header { capability: capability.as_deref(), ..header })?;
                self.content(file, header.size).map_err(failed)
            }
        }
    }

    /// Exactly `size` bytes: a file that shrinks meanwhile ends in zeros, one that grows is cut.
    fn content(&mut self, mut file: File, size: u64) -> io::Result<()> {
        let mut left = size;
        if size > SMALL_BYTES {
            self.out.flush()?;
            while left > 0 {
                match sys::send(self.out.get_ref().as_fd(), &file, left) {
                    Ok(0) => break,
                    Ok(n) => left -= n,
                    // A file system that cannot do it.
                    Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => break,
                    Err(e) => return Err(e),
                }
            }
        }
        left -= io::copy(&mut Read::by_ref(&mut file).take(left), &mut self.out)?;
        io::copy(&mut io::repeat(0).take(left), &mut self.out)?;
        self.out.write_all(tar::padding(size))
    }

    fn header(&mut self, header: &Header<'_>) -> Outcome<()> {
        header.write(&mut self.out).map_err(Failure::internal)
    }

    fn put(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.out.write_all(bytes).map_err(Failure::internal)
    }

    fn finish(mut self) -> Outcome<()> {
        self.put(tar::trailer())?;
        self.out.flush().map_err(Failure::internal)
    }
}
