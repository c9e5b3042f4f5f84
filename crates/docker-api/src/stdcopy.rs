//! Docker's multiplexed stream: each chunk has an 8-byte header, `[stream, 0, 0, 0, length as u32 big-endian]`.

pub const STDIN: u8 = 0;
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;
/// An error of the server, in the middle of a stream.
pub const SYSTEM_ERROR: u8 = 3;

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;

/// The header of a chunk of `len` bytes. A chunk longer than `u32::MAX` cannot be framed: split it before.
pub fn header(stream: u8, len: usize) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [stream, 0, 0, 0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_big_endian() {
        assert_eq!(header(STDERR, 0x0102_0304), [2, 0, 0, 0, 1, 2, 3, 4]);
    }
}
