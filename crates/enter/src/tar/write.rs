//! Headers of an archive: ustar, with a PAX header before it where a value does not fit.

use std::io::{self, Write};

use super::{ATTRIBUTE, BLOCK_BYTES, HARD_LINK, SYMLINK};

const NAME_BYTES: usize = 100;
/// Twelve octal digits less the terminator.
const SIZE_MAX: u64 = 0o77_777_777_777;
/// Permissions, set-id and sticky bits: all that a header's mode holds, as in Go's `archive/tar`.
const MODE: u32 = 0o7777;

pub(crate) struct Header<'a> {
    pub(crate) kind: u8,
    pub(crate) name: &'a [u8],
    /// Target of a link.
    pub(crate) link: &'a [u8],
    /// As in `st_mode`; only the permissions are written, the type is said by `kind`.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) mtime_s: i64,
    /// Major and minor number.
    pub(crate) device: (u32, u32),
    /// Value of `security.capability`.
    pub(crate) capability: Option<&'a [u8]>,
}

impl Header<'_> {
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let pax = self.pax();
        if !pax.is_empty() {
            let mut block = Block::new(b'x', b"PaxHeaders.0/x", pax.len() as u64);
            out.write_all(block.sealed())?;
            out.write_all(&pax)?;
            out.write_all(padding(pax.len() as u64))?;
        }
        let size = if self.size > SIZE_MAX { 0 } else { self.size };
        let mut block = Block::new(self.kind, self.name, size);
        block.number(100..108, u64::from(self.mode & MODE));
        block.number(108..116, u64::from(self.uid & 0o7_777_777));
        block.number(116..124, u64::from(self.gid & 0o7_777_777));
        block.number(136..148, u64::try_from(self.mtime_s).unwrap_or(0).min(SIZE_MAX));
        if matches!(self.kind, HARD_LINK | SYMLINK) {
            block.text(157..257, self.link);
        }
        block.number(329..337, u64::from(self.device.0 & 0o7_777_777));
        block.number(337..345, u64::from(self.device.1 & 0o7_777_777));
        out.write_all(block.sealed())
    }

    fn pax(&self) -> Vec<u8> {
        let mut pax = Vec::new();
        if !fits(self.name) {
            record(&mut pax, b"path", self.name);
        }
        if !fits(self.link) {
            record(&mut pax, b"linkpath", self.link);
        }
        if self.size > SIZE_MAX {
            record(&mut pax, b"size", self.size.to_string().as_bytes());
        }
        if self.uid > 0o7_777_777 {
            record(&mut pax, b"uid", self.uid.to_string().as_bytes());
        }
        if self.gid > 0o7_777_777 {
            record(&mut pax, b"gid", self.gid.to_string().as_bytes());
        }
        if self.mtime_s < 0 || self.mtime_s.unsigned_abs() > SIZE_MAX {
            record(&mut pax, b"mtime", self.mtime_s.to_string().as_bytes());
        }
        if let Some(capability) = self.capability {
            record(&mut pax, &[ATTRIBUTE, b"security.capability"].concat(), capability);
        }
        pax
    }
}

fn fits(name: &[u8]) -> bool {
    name.len() <= NAME_BYTES && name.is_ascii()
}

/// `length key=value\n`; the length counts its own digits.
fn record(pax: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length += 1;
    }
    pax.extend_from_slice(length.to_string().as_bytes());
    pax.push(b' ');
    pax.extend_from_slice(key);
    pax.push(b'=');
    pax.extend_from_slice(value);
    pax.push(b'\n');
}

/// Zeros up to the next block.
pub(crate) fn padding(size: u64) -> &'static [u8] {
    let over = (size % BLOCK_BYTES as u64) as usize;
    &[0; BLOCK_BYTES][..if over == 0 { 0 } else { BLOCK_BYTES - over }]
}

/// The end of an archive.
pub(crate) fn trailer() -> &'static [u8] {
    &[0; 2 * BLOCK_BYTES]
}

struct Block([u8; BLOCK_BYTES]);

impl Block {
    fn new(kind: u8, name: &[u8], size: u64) -> Self {
        let mut block = Self([0; BLOCK_BYTES]);
        block.text(0..NAME_BYTES, name);
        for field in [100..108, 108..116, 116..124, 136..148] {
            block.number(field, 0);
        }
        block.number(124..136, size);
        block.0[156] = kind;
        block.0[257..265].copy_from_slice(b"ustar\x0000");
        block
    }

    /// What does not fit is in the PAX header.
    fn text(&mut self, field: std::ops::Range<usize>, text: &[u8]) {
        let n = text.len().min(field.len());
        self.0[field.start..field.start + n].copy_from_slice(&text[..n]);
    }

    fn number(&mut self, field: std::ops::Range<usize>, number: u64) {
        let digits = format!("{number:0width$o}", width = field.len() - 1);
        self.text(field, digits.as_bytes());
    }

    fn sealed(&mut self) -> &[u8] {
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|b| u32::from(*b)).sum();
        self.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::{DIRECTORY, FIFO, REGULAR};

    fn mode_field(kind: u8, mode: u32) -> String {
        let header = Header {
            kind,
            name: b"n",
            link: b"",
            mode,
            uid: 0,
            gid: 0,
            size: 0,
            mtime_s: 0,
            device: (0, 0),
            capability: None,
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes).expect("a vector");
        String::from_utf8_lossy(&bytes[100..108]).into_owned()
    }

    #[test]
    fn a_mode_is_permissions_alone() {
        for (kind, mode, wanted) in [
            (REGULAR, 0o100_640, "0000640\0"),
            (REGULAR, 0o106_755, "0006755\0"),
            (DIRECTORY, 0o041_777, "0001777\0"),
            (SYMLINK, 0o120_777, "0000777\0"),
            (FIFO, 0o010_600, "0000600\0"),
        ] {
            assert_eq!(mode_field(kind, mode), wanted, "{mode:o}");
        }
    }
}
