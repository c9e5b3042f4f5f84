//! Walks the headers of a tar stream: ustar, GNU long names, PAX, old GNU sparse files.
//!
//! A walker of our own, since the archives are a tenant's: what a header may make us hold in memory is bounded (a PAX
//! record of 10 GB is one line of shell), and nothing is ever written to a path that an archive names.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Of a long name or a PAX record. Linux takes no path beyond 4096 bytes, and xattrs (in PAX) beyond 64 KiB each.
const EXTENSION_MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    HardLink,
    Symlink,
    Directory,
    /// Devices, FIFOs, and what else only unpacking cares about.
    Other,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: EntryKind,
    /// Of links.
    pub(crate) target: String,
    pub(crate) size_bytes: u64,
    /// Where the data starts in the stream.
    pub(crate) offset: u64,
    pub(crate) attributes: Attributes,
}

/// Who an entry belongs to and what may be done with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permissions, with the set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Seconds since 1970.
    pub(crate) mtime_s: u64,
    /// Extended attributes, by their names.
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
}

pub(crate) struct Walk<R> {
    reader: R,
    offset: u64,
    /// Data and padding of the last entry, still to pass over.
    remaining: u64,
}

/// What extension headers said of the next entry.
#[derive(Default)]
struct Extensions {
    name: Option<String>,
    target: Option<String>,
    size_bytes: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime_s: Option<u64>,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl<R: Read> Walk<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, offset: 0, remaining: 0 }
    }

    /// The next real entry; None at the end of the archive. `InvalidData` where it is no tar, `UnexpectedEof` where cut.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        loop {
            self.pass_over()?;
            let mut header = [0u8; BLOCK];
            if !self.fill_or_end(&mut header)? || header.iter().all(|b| *b == 0) {
                return Ok(None);
            }
            check_sum(&header)?;
            let size_bytes = number(&header[124..136])?;
            match header[156] {
                b'x' => extensions.read_pax(&self.take(size_bytes)?)?,
                b'L' => extensions.name = Some(text(&self.take(size_bytes)?)),
                b'K' => extensions.target = Some(text(&self.take(size_bytes)?)),
                b'g' => drop(self.take(size_bytes)?),
                kind => return self.entry(&header, kind, size_bytes, extensions).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &[u8; BLOCK], kind: u8, size_bytes: u64, ext: Extensions) -> io::Result<Entry> {
        if kind == b'S' && header[482] == 1 {
            self.pass_sparse_map()?;
        }
        let kind = match kind {
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'5' => EntryKind::Directory,
            _ => EntryKind::Other,
        };
        // Links and directories have no data, whatever their size field says.
        let size_bytes = match kind {
            EntryKind::File | EntryKind::Other => ext.size_bytes.unwrap_or(size_bytes),
            _ => 0,
        };
        self.remaining = padded(size_bytes)?;
        let attributes = Attributes {
            // What a writer of garbage says of itself is no reason to refuse an archive that hosts take.
            mode: number(&header[100..108]).map_or(0, |mode| (mode & 0o7777) as u32),
            uid: ext.uid.unwrap_or_else(|| number(&header[108..116]).unwrap_or(0)),
            gid: ext.gid.unwrap_or_else(|| number(&header[116..124]).unwrap_or(0)),
            mtime_s: ext.mtime_s.unwrap_or_else(|| number(&header[136..148]).unwrap_or(0)),
            xattrs: ext.xattrs,
        };
        let name = ext.name.unwrap_or_else(|| ustar_name(header));
        let target = ext.target.unwrap_or_else(|| text(&header[157..257]));
        Ok(Entry { name, kind, target, size_bytes, offset: self.offset, attributes })
    }

    /// Writes the data of the entry that came last; the walk goes on behind it.
    pub(crate) fn copy_data(&mut self, size_bytes: u64, to: &mut impl io::Write) -> io::Result<()> {
        let copied = io::copy(&mut self.reader.by_ref().take(size_bytes.min(self.remaining)), to)?;
        self.offset += copied;
        self.remaining -= copied;
        if copied < size_bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Continuation blocks of an old GNU sparse file stand between header and data.
    fn pass_sparse_map(&mut self) -> io::Result<()> {
        let mut block = [0u8; BLOCK];
        loop {
            if !self.fill_or_end(&mut block)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if block[504] != 1 {
                return Ok(());
            }
        }
    }

    fn take(&mut self, size_bytes: u64) -> io::Result<Vec<u8>> {
        if size_bytes > EXTENSION_MAX_BYTES {
            return Err(invalid("a tar header is too large"));
        }
        let mut data = vec![0u8; size_bytes as usize];
        self.reader.read_exact(&mut data)?;
        self.offset += size_bytes;
        self.remaining = padded(size_bytes)? - size_bytes;
        Ok(data)
    }

    fn pass_over(&mut self) -> io::Result<()> {
        let wanted = std::mem::take(&mut self.remaining);
        let passed = io::copy(&mut self.reader.by_ref().take(wanted), &mut io::sink())?;
        self.offset += passed;
        if passed < wanted { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// False at the very end; archives without the closing zero blocks are common.
    fn fill_or_end(&mut self, block: &mut [u8; BLOCK]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.offset += BLOCK as u64;
        Ok(true)
    }

    pub(crate) fn into_inner(self) -> R {
        self.reader
    }
}

impl Extensions {
    /// `<length> <key>=<value>\n`, the length counting itself.
    fn read_pax(&mut self, mut data: &[u8]) -> io::Result<()> {
        let bad = || invalid("a PAX header is malformed");
        while let Some(space) = data.iter().position(|b| *b == b' ') {
            let length: usize =
                std::str::from_utf8(&data[..space]).ok().and_then(|t| t.parse().ok()).ok_or_else(bad)?;
            let record = data.get(space + 1..length).ok_or_else(bad)?;
            let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(bad)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" | b"GNU.sparse.name" => self.name = Some(text(value)),
                b"linkpath" => self.target = Some(text(value)),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|t| t.parse().ok());
                    self.size_bytes = Some(size.ok_or_else(bad)?);
                }
                b"uid" => self.uid = Some(whole(value).ok_or_else(bad)?),
                b"gid" => self.gid = Some(whole(value).ok_or_else(bad)?),
                // May have a fraction, and be negative: before 1970 is 1970.
                b"mtime" => self.mtime_s = Some(whole(value).unwrap_or(0)),
                key => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.push((text(name), value.to_vec()));
                    }
                }
            }
            data = &data[length..];
        }
        Ok(())
    }
}

/// The whole part of a decimal number.
fn whole(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    text.split('.').next().unwrap_or_default().parse().ok()
}

fn check_sum(header: &[u8; BLOCK]) -> io::Result<()> {
    let stated = number(&header[148..156])?;
    let field = |i: usize, b: u8| if (148..156).contains(&i) { b' ' } else { b };
    let unsigned: u64 = header.iter().enumerate().map(|(i, b)| u64::from(field(i, *b))).sum();
    // Some old writers summed signed bytes.
    let signed: i64 = header.iter().enumerate().map(|(i, b)| i64::from(field(i, *b) as i8)).sum();
    if stated == unsigned || i64::try_from(stated).is_ok_and(|s| s == signed) {
        Ok(())
    } else {
        Err(invalid("archive/tar: invalid tar header"))
    }
}

/// Octal, or base 256 where the first bit is set.
fn number(field: &[u8]) -> io::Result<u64> {
    let bad = || invalid("archive/tar: invalid tar header");
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        let fits = high.first() == Some(&0x80) && high[1..].iter().all(|b| *b == 0);
        return if fits { Ok(low.iter().fold(0, |n, b| n << 8 | u64::from(*b))) } else { Err(bad()) };
    }
    let digits = text(field);
    let digits = digits.trim();
    if digits.is_empty() { Ok(0) } else { u64::from_str_radix(digits, 8).map_err(|_| bad()) }
}

fn padded(size_bytes: u64) -> io::Result<u64> {
    size_bytes.checked_next_multiple_of(BLOCK as u64).ok_or_else(|| invalid("archive/tar: invalid tar header"))
}

fn ustar_name(header: &[u8; BLOCK]) -> String {
    let name = text(&header[..100]);
    let prefix = if &header[257..263] == b"ustar\0" { text(&header[345..500]) } else { String::new() };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let long = "d/".repeat(80) + "file";
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        builder.append_data(&mut header, &long, &b"abc"[..]).expect("file");
        let mut link = tar::Header::new_ustar();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        builder.append_link(&mut link, "l", "/etc/passwd").expect("link");
        builder.append_pax_extensions([("path", "renamed".as_bytes())]).expect("pax");
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        builder.append_data(&mut header, "x", &b"y"[..]).expect("file");
        builder.into_inner().expect("archive")
    }

    #[test]
    fn entries_are_found_with_their_long_names_and_places() {
        let bytes = archive();
        let mut walk = Walk::new(bytes.as_slice());
        let first = walk.next().expect("walk").expect("entry");
        assert!(first.name.ends_with("/file") && first.name.len() == 164);
        assert_eq!(&bytes[first.offset as usize..][..3], b"abc");
        let link = walk.next().expect("walk").expect("entry");
        assert_eq!((link.kind, link.target.as_str()), (EntryKind::Symlink, "/etc/passwd"));
        let last = walk.next().expect("walk").expect("entry");
        assert_eq!((last.name.as_str(), last.size_bytes, bytes[last.offset as usize]), ("renamed", 1, b'y'));
        assert!(walk.next().expect("walk").is_none());
    }

    #[test]
    fn garbage_and_cut_archives_are_errors() {
        assert!(Walk::new(&[7u8; 2000][..]).next().is_err());
        let bytes = archive();
        let mut walk = Walk::new(&bytes[..1200]);
        while let Ok(Some(_)) = walk.next() {}
        assert!(Walk::new(&b""[..]).next().expect("empty").is_none());
    }

    #[test]
    fn a_huge_extension_header_is_refused() {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_size(10 << 30);
        header.set_cksum();
        assert!(Walk::new(&header.as_bytes()[..]).next().expect_err("huge").to_string().contains("too large"));
    }
}
