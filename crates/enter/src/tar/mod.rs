//! The tar format: PAX as Go's `archive/tar` writes it; read as Go reads it, save for sparse files.

mod read;
mod write;

pub(crate) use read::{Archive, Entry};
pub(crate) use write::{Header, padding, trailer};

pub(crate) const BLOCK_BYTES: usize = 512;

/// Type flags.
pub(crate) const REGULAR: u8 = b'0';
pub(crate) const HARD_LINK: u8 = b'1';
pub(crate) const SYMLINK: u8 = b'2';
pub(crate) const CHARACTER: u8 = b'3';
pub(crate) const BLOCK: u8 = b'4';
pub(crate) const DIRECTORY: u8 = b'5';
pub(crate) const FIFO: u8 = b'6';

/// PAX records of extended attributes begin so.
pub(crate) const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";
