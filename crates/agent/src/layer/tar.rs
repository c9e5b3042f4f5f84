//! The tar of a layer: ustar headers, and PAX records for what they cannot hold (long names, extended attributes).
//!
//! The same tree gives the same bytes. Times are whole seconds, as dockerd writes them.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use nix::sys::stat::{FileStat, SFlag};

use super::walk::Entry;

const BLOCK: usize = 512;
const COPY_BYTES: usize = 256 << 10;
const NAME_MAX_BYTES: usize = 100;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
/// Overlays are mounted without these features; a tree that has them anyway would be misread.
const FOREIGN_XATTRS: [&str; 2] = ["trusted.overlay.redirect", "trusted.overlay.metacopy"];
/// Owners on disk that are not the container's: host root, through the idmapped view.
const UID_RANGE: u32 = domain::tenant::UID_RANGE;

pub(super) struct Tar<W> {
    to: W,
    /// First name of each file with several, by device and inode.
    names: HashMap<(u64, u64), Vec<u8>>,
    entries: u64,
    buffer: Vec<u8>,
}

impl<W: io::Write> Tar<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, names: HashMap::new(), entries: 0, buffer: vec![0; COPY_BYTES] }
    }

    /// True where there was nothing.
    pub(super) fn finish(mut self) -> io::Result<bool> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()?;
        Ok(self.entries == 0)
    }

    pub(super) fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let (parent, name) = split(entry.path);
        // Such names mean something else in a layer: they cannot be kept, and must not take anything away.
        if name.starts_with(WHITEOUT) {
            return Ok(());
        }
        match entry.kind() {
            SFlag::S_IFREG => self.file(entry),
            SFlag::S_IFDIR => self.directory(entry),
            SFlag::S_IFLNK => match entry.link_target()? {
                Some(target) => self.header(entry, entry.stat, tar::EntryType::Symlink, entry.path, &target, 0),
                None => Ok(()),
            },
            SFlag::S_IFCHR if entry.stat.st_rdev == 0 => {
                let whiteout = [parent, WHITEOUT, name].concat();
                self.marker(&whiteout)
            }
            SFlag::S_IFCHR => self.header(entry, entry.stat, tar::EntryType::Char, entry.path, b"", 0),
            SFlag::S_IFBLK => self.header(entry, entry.stat, tar::EntryType::Block, entry.path, b"", 0),
            SFlag::S_IFIFO => self.header(entry, entry.stat, tar::EntryType::Fifo, entry.path, b"", 0),
            // A socket without its process is nothing.
            _ => Ok(()),
        }
    }

    fn file(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let Some((fd, stat)) = entry.open()? else { return Ok(()) };
        let key = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.names.get(&key) {
            let first = first.clone();
            return self.header(entry, &stat, tar::EntryType::Link, entry.path, &first, 0);
        }
        let size_bytes = u64::try_from(stat.st_size).unwrap_or(0);
        self.header(entry, &stat, tar::EntryType::Regular, entry.path, b"", size_bytes)?;
        self.data(File::from(fd), size_bytes)?;
        if stat.st_nlink > 1 {
            self.names.insert(key, entry.path.to_vec());
        }
        Ok(())
    }

    /// A file that changes while it is read keeps the size of its header.
    fn data(&mut self, file: File, size_bytes: u64) -> io::Result<()> {
        let mut left = size_bytes;
        let mut file = file.take(size_bytes);
        while left > 0 {
            let n = file.read(&mut self.buffer)?;
            if n == 0 {
                break;
            }
            self.to.write_all(&self.buffer[..n])?;
            left -= n as u64;
        }
        io::copy(&mut io::repeat(0).take(left), &mut self.to)?;
        self.padding(size_bytes)
    }

    fn padding(&mut self, size_bytes: u64) -> io::Result<()> {
        let padding = size_bytes.next_multiple_of(BLOCK as u64) - size_bytes;
        self.to.write_all(&[0; BLOCK][..padding as usize])
    }

    fn directory(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let path = [entry.path, b"/"].concat();
        self.header(entry, entry.stat, tar::EntryType::Directory, &path, b"", 0)?;
        match attribute(&entry.proc_path(), OPAQUE_XATTR)?.as_deref() {
            Some(b"y") => self.marker(&[&path, OPAQUE].concat()),
            _ => Ok(()),
        }
    }

    /// An empty file that says something by its name.
    fn marker(&mut self, path: &[u8]) -> io::Result<()> {
        let mut header = blank(tar::EntryType::Regular);
        header.set_mode(0o600);
        self.write(header, path, b"", Vec::new())
    }

    fn header(
        &mut self,
        entry: &Entry<'_>,
        stat: &FileStat,
        kind: tar::EntryType,
        path: &[u8],
        target: &[u8],
        size_bytes: u64,
    ) -> io::Result<()> {
        let own = |id: u32| if id < UID_RANGE { u64::from(id) } else { 0 };
        let mut header = blank(kind);
        header.set_mode(stat.st_mode & 0o7777);
        header.set_uid(own(stat.st_uid));
        header.set_gid(own(stat.st_gid));
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        header.set_size(size_bytes);
        if matches!(kind, tar::EntryType::Char | tar::EntryType::Block) {
            header.set_device_major(u32::try_from(nix::sys::stat::major(stat.st_rdev)).unwrap_or(0))?;
            header.set_device_minor(u32::try_from(nix::sys::stat::minor(stat.st_rdev)).unwrap_or(0))?;
        }
        let records = if kind == tar::EntryType::Link { Vec::new() } else { attributes(entry)? };
        self.write(header, path, target, records)
    }

    fn write(&mut self, mut header: tar::Header, path: &[u8], target: &[u8], mut records: Vec<u8>) -> io::Result<()> {
        for (at, text, key) in [(0, path, "path"), (157, target, "linkpath")] {
            let kept = text.len().min(NAME_MAX_BYTES);
            header.as_mut_bytes()[at..at + kept].copy_from_slice(&text[..kept]);
            if text.len() > NAME_MAX_BYTES {
                record(&mut records, key, text);
            }
        }
        if !records.is_empty() {
            self.extension(&records)?;
        }
        header.set_cksum();
        self.entries += 1;
        self.to.write_all(header.as_bytes())
    }

    fn extension(&mut self, records: &[u8]) -> io::Result<()> {
        let mut header = blank(tar::EntryType::XHeader);
        header.as_mut_bytes()[..8].copy_from_slice(b"@PaxHead");
        header.set_mode(0o644);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.to.write_all(header.as_bytes())?;
        self.to.write_all(records)?;
        self.padding(records.len() as u64)
    }
}

/// Zero in every field: some readers take an empty one for a defect.
fn blank(kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// The parent with its slash, and the name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.split_at(path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1))
}

/// Capabilities and the users' own attributes, as PAX records.
fn attributes(entry: &Entry<'_>) -> io::Result<Vec<u8>> {
    let path = entry.proc_path();
    let mut names: Vec<_> = match xattr::list(&path) {
        Ok(names) => names.collect(),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTSUP | libc::ENOENT)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    names.sort_unstable();
    let mut records = Vec::new();
    for name in names.iter().filter_map(|n| n.to_str()) {
        if FOREIGN_XATTRS.contains(&name) {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        if name != "security.capability" && !name.starts_with("user.") {
            continue;
        }
        if let Some(value) = attribute(&path, name)? {
            record(&mut records, &format!("SCHILY.xattr.{name}"), &without_namespace(name, value));
        }
    }
    Ok(records)
}

/// None also where the file is gone.
fn attribute(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    match xattr::get(path, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        got => got,
    }
}

/// Capabilities that a user namespace gave (revision 3, with the id of its root) become plain ones (revision 2): another
/// host gives the namespace another root.
fn without_namespace(name: &str, mut value: Vec<u8>) -> Vec<u8> {
    if name == "security.capability" && value.len() == 24 && value[3] == 3 {
        value.truncate(20);
        value[3] = 2;
    }
    value
}

/// `LENGTH key=value\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}
