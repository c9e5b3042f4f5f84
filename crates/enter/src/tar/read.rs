//! Entries of an archive that a stranger made.
//!
//! The size of a PAX header or a GNU long name is always its own: sizes in a PAX header are the next entry's. The other
//! order is how archives are made that two readers see differently.

use std::io::{self, Read};

use super::{ATTRIBUTE, BLOCK_BYTES, DIRECTORY, FIFO, HARD_LINK, REGULAR};
use crate::{
    failure::{Failure, Outcome},
    limits,
};

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: u8,
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Of the content that follows.
    pub(crate) size: u64,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, i64),
    /// Extended attributes.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

pub(crate) struct Archive<R> {
    reader: R,
    /// Of the current content.
    left: u64,
    padding: u64,
    entries: u64,
    content: u64,
}

/// What PAX and GNU headers say of the next entry.
#[derive(Default)]
struct Extra {
    pax: Vec<(Vec<u8>, Vec<u8>)>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, left: 0, padding: 0, entries: 0, content: 0 }
    }

    /// None at the end; an archive that ends without its trailer has ended, as for Go.
    pub(crate) fn next(&mut self) -> Outcome<Option<Entry>> {
        let mut extra = Extra::default();
        loop {
            self.skip()?;
            let Some(block) = self.block()? else { return Ok(None) };
            if block.iter().all(|b| *b == 0) {
                return Ok(None);
            }
            check_sum(&block)?;
            self.entries += 1;
            if self.entries > limits::ENTRIES_MAX {
                let text = format!("the archive has more than {} entries (policy E08)", limits::ENTRIES_MAX);
                return Err(Failure::forbidden(text));
            }
            let own_size = number(&block[124..136])?;
            match block[156] {
                b'x' => extra.pax = records(&self.extra_header(own_size)?)?,
                b'L' => extra.long_name = Some(until_nul(&self.extra_header(own_size)?).to_vec()),
                b'K' => extra.long_link = Some(until_nul(&self.extra_header(own_size)?).to_vec()),
                // Global headers are passed over, as dockerd does.
                b'g' => self.set_content(own_size),
                b'S' => return Err(sparse()),
                _ => {
                    let entry = entry(&block, own_size, extra)?;
                    self.content = self.content.saturating_add(entry.size);
                    if self.content > limits::CONTENT_MAX_BYTES {
                        return Err(Failure::forbidden("the archive holds too many bytes (policy E08)"));
                    }
                    self.set_content(entry.size);
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// The current entry's content; 0 at its end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let n = read(&mut self.reader, &mut buffer[..most])?;
        if n == 0 {
            return Err(cut());
        }
        self.left -= n as u64;
        Ok(n)
    }

    /// What follows the end of the archive, so that who sends it can finish.
    pub(crate) fn drain(mut self) {
        let _ = io::copy(&mut self.reader.by_ref().take(limits::CONTENT_MAX_BYTES), &mut io::sink());
    }

    fn set_content(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK_BYTES as u64 - size % BLOCK_BYTES as u64) % BLOCK_BYTES as u64;
    }

    fn skip(&mut self) -> Outcome<()> {
        let mut scratch = [0; 8 << 10];
        while self.read(&mut scratch)? > 0 {}
        // Some writers leave the last padding out.
        while self.padding > 0 {
            let most = scratch.len().min(self.padding as usize);
            match read(&mut self.reader, &mut scratch[..most])? {
                0 => break,
                n => self.padding -= n as u64,
            }
        }
        self.padding = 0;
        Ok(())
    }

    fn block(&mut self) -> Outcome<Option<[u8; BLOCK_BYTES]>> {
        let (mut block, mut filled) = ([0; BLOCK_BYTES], 0);
        while filled < BLOCK_BYTES {
            match read(&mut self.reader, &mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(cut()),
                n => filled += n,
            }
        }
        Ok(Some(block))
    }

    fn extra_header(&mut self, size: u64) -> Outcome<Vec<u8>> {
        if size > limits::EXTRA_HEADER_MAX_BYTES {
            return Err(Failure::invalid("archive/tar: header field too long"));
        }
        self.set_content(size);
        let mut bytes = vec![0; size as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += self.read(&mut bytes[filled..])?;
        }
        Ok(bytes)
    }
}

fn read(reader: &mut impl Read, buffer: &mut [u8]) -> Outcome<usize> {
    loop {
        match reader.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            outcome => return outcome.map_err(|e| Failure::internal(format!("reading the archive: {e}"))),
        }
    }
}

fn cut() -> Failure {
    Failure::invalid("unexpected EOF")
}

fn bad_header() -> Failure {
    Failure::invalid("archive/tar: invalid tar header")
}

fn sparse() -> Failure {
    Failure::forbidden("sparse files are not supported in archives (policy E08)")
}

fn entry(block: &[u8; BLOCK_BYTES], own_size: u64, extra: Extra) -> Outcome<Entry> {
    let mut entry = Entry {
        kind: if block[156] == 0 { REGULAR } else { block[156] },
        name: name(block),
        link: until_nul(&block[157..257]).to_vec(),
        mode: u32::try_from(number(&block[100..108])? & 0o7777).unwrap_or(0),
        uid: number(&block[108..116])?,
        gid: number(&block[116..124])?,
        size: own_size,
        mtime: (i64::try_from(number(&block[136..148])?).unwrap_or(i64::MAX), 0),
        attributes: Vec::new(),
    };
    for (key, value) in extra.pax {
        apply(&mut entry, &key, value)?;
    }
    entry.name = extra.long_name.unwrap_or(entry.name);
    entry.link = extra.long_link.unwrap_or(entry.link);
    // The oldest writers marked directories by the slash alone.
    if block[156] == 0 && entry.name.ends_with(b"/") {
        entry.kind = DIRECTORY;
    }
    if (HARD_LINK..=FIFO).contains(&entry.kind) {
        entry.size = 0;
    }
    Ok(entry)
}

fn apply(entry: &mut Entry, key: &[u8], value: Vec<u8>) -> Outcome<()> {
    let whole = |value: &[u8]| {
        let text = std::str::from_utf8(value).ok()?;
        text.parse::<u64>().ok().filter(|n| i64::try_from(*n).is_ok())
    };
    match key {
        _ if value.is_empty() => {}
        b"path" => entry.name = value,
        b"linkpath" => entry.link = value,
        b"uid" => entry.uid = whole(&value).ok_or_else(bad_header)?,
        b"gid" => entry.gid = whole(&value).ok_or_else(bad_header)?,
        b"size" => entry.size = whole(&value).ok_or_else(bad_header)?,
        b"mtime" => entry.mtime = time(&value).ok_or_else(bad_header)?,
        key if key.starts_with(b"GNU.sparse.") => return Err(sparse()),
        key => {
            if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                entry.attributes.push((name.to_vec(), value));
            }
        }
    }
    Ok(())
}

fn name(block: &[u8; BLOCK_BYTES]) -> Vec<u8> {
    let (name, prefix) = (until_nul(&block[..100]), until_nul(&block[345..500]));
    let is_ustar = &block[257..263] == b"ustar\0";
    match prefix {
        [_, ..] if is_ustar => [prefix, b"/", name].concat(),
        _ => name.to_vec(),
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or(field)
}

/// Octal digits, or base 256 where the first bit is set.
fn number(field: &[u8]) -> Outcome<u64> {
    if field[0] & 0x80 != 0 {
        let negative = field[0] & 0x40 != 0;
        let mut bytes = std::iter::once(field[0] & 0x7f).chain(field[1..].iter().copied());
        let number = bytes.try_fold(0u64, |n, byte| (n < 1 << 55).then_some(n << 8 | u64::from(byte)));
        return number.filter(|_| !negative).ok_or_else(bad_header);
    }
    let text: &[u8] = field.trim_ascii();
    let digits = text.split(|b| *b == 0).find(|part| !part.is_empty()).unwrap_or(b"").trim_ascii();
    if digits.is_empty() {
        return Ok(0);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| bad_header())?;
    u64::from_str_radix(digits, 8).map_err(|_| bad_header())
}

/// The sum may have been made of signed bytes.
fn check_sum(block: &[u8; BLOCK_BYTES]) -> Outcome<()> {
    let given = number(&block[148..156])?;
    let counted = |i: usize, b: u8| if (148..156).contains(&i) { b' ' } else { b };
    let bytes = || block.iter().enumerate().map(|(i, b)| counted(i, *b));
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|b| i64::from(b as i8)).sum();
    if given == unsigned || i64::try_from(given) == Ok(signed) { Ok(()) } else { Err(bad_header()) }
}

/// `length key=value\n`, again and again.
fn records(mut bytes: &[u8]) -> Outcome<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (record, rest) = split_record(bytes).ok_or_else(bad_header)?;
        records.push(record);
        bytes = rest;
    }
    Ok(records)
}

type Record = (Vec<u8>, Vec<u8>);

fn split_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let space = bytes.iter().position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let (whole, rest) = bytes.split_at_checked(length)?;
    let record = whole.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    let has_nul = key.contains(&0) || (value.contains(&0) && matches!(key, b"path" | b"linkpath"));
    if key.is_empty() || has_nul { None } else { Some(((key.to_vec(), value.to_vec()), rest)) }
}

/// `seconds[.fraction]`.
fn time(value: &[u8]) -> Option<(i64, i64)> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let whole: i64 = seconds.parse().ok()?;
    match seconds.starts_with('-') && nanoseconds > 0 {
        true => Some((whole.checked_sub(1)?, 1_000_000_000 - nanoseconds)),
        false => Some((whole, nanoseconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::write, *};

    fn archive(headers: &[(write::Header<'_>, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (header, content) in headers {
            header.write(&mut bytes).expect("a vector");
            bytes.extend_from_slice(content);
            bytes.extend_from_slice(write::padding(content.len() as u64));
        }
        bytes.extend_from_slice(write::trailer());
        bytes
    }

    fn header<'a>(kind: u8, name: &'a [u8], size: u64) -> write::Header<'a> {
        write::Header {
            kind,
            name,
            link: b"",
            mode: 0o100_644,
            uid: 7,
            gid: 8,
            size,
            mtime_s: 1_000_000_000,
            device: (0, 0),
            capability: None,
        }
    }

    fn failure(bytes: &[u8]) -> String {
        let mut archive = Archive::new(bytes);
        loop {
            match archive.next() {
                Ok(Some(_)) => {}
                Ok(None) => return String::new(),
                Err(failure) => return String::from_utf8(failure.text).expect("UTF-8"),
            }
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let long = [b'n'; 300];
        let named = write::Header { capability: Some(b"\x01\x00=\n"), ..header(REGULAR, &long, 3) };
        let odd = header(REGULAR, b"\xff\x1b[2J", 0);
        let old = write::Header { mtime_s: -5, ..header(DIRECTORY, b"d/", 0) };
        let bytes = archive(&[(named, b"abc"), (odd, b""), (old, b"")]);
        let mut archive = Archive::new(&bytes[..]);
        let first = archive.next().expect("sound").expect("an entry");
        assert_eq!((&first.name[..], first.mode, first.uid, first.gid, first.size), (&long[..], 0o644, 7, 8, 3));
        assert_eq!(first.attributes, [(b"security.capability".to_vec(), b"\x01\x00=\n".to_vec())]);
        let mut content = [0; 8];
        assert_eq!((archive.read(&mut content).expect("content"), &content[..3]), (3, &b"abc"[..]));
        assert_eq!(archive.next().expect("sound").expect("an entry").name, b"\xff\x1b[2J");
        assert_eq!(archive.next().expect("sound").expect("an entry").mtime, (-5, 0));
        assert_eq!(archive.next().expect("sound"), None);
    }

    #[test]
    fn a_size_in_a_pax_header_is_not_that_of_a_long_name() {
        let mut bytes = Vec::new();
        let pax = b"13 size=2048\n";
        header(b'x', b"p", pax.len() as u64).write(&mut bytes).expect("a vector");
        bytes.extend_from_slice(pax);
        bytes.extend_from_slice(write::padding(pax.len() as u64));
        header(b'L', b"l", 4).write(&mut bytes).expect("a vector");
        bytes.extend_from_slice(b"name");
        bytes.extend_from_slice(write::padding(4));
        header(REGULAR, b"short", 0).write(&mut bytes).expect("a vector");
        bytes.extend_from_slice(&[1; 2048]);
        let mut archive = Archive::new(&bytes[..]);
        let entry = archive.next().expect("sound").expect("an entry");
        assert_eq!((&entry.name[..], entry.size), (&b"name"[..], 2048));
        assert_eq!(archive.next().expect("the end"), None);
    }

    #[test]
    fn damage_is_told_in_gos_words() {
        assert_eq!(failure(&[b'x'; 1024]), "archive/tar: invalid tar header");
        assert_eq!(failure(&archive(&[(header(REGULAR, b"a", 600), b"abc")])[..700]), "unexpected EOF");
        assert_eq!(failure(&[b'x'; 100]), "unexpected EOF");
        assert_eq!(failure(b""), "");
        assert!(failure(&archive(&[(header(b'S', b"a", 0), b"")])).contains("sparse"));
        assert!(failure(&archive(&[(header(b'x', b"a", 2 << 20), b"")])).contains("too long"));
    }

    #[test]
    fn numbers_in_both_notations() {
        assert_eq!(number(b"0000644\0").expect("octal"), 0o644);
        assert_eq!(number(b"   12 \0 ").expect("octal"), 0o12);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]).expect("base 256"), 256);
        assert!(number(&[0xff; 12]).is_err() && number(b"9999999\0").is_err());
        assert!(number(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    #[test]
    fn times_have_fractions() {
        assert_eq!(time(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!((time(b"x"), time(b"1.x")), (None, None));
    }
}
