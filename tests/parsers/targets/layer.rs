//! Layers and uploaded archives as raw bytes: compression, then tar.

use images::foreign;

/// An empty gzip, an empty zstd frame, an empty xz, the start of a bzip2.
pub const SEEDS: &[&[u8]] = &[
    b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",
    b"\x28\xb5\x2f\xfd\x20\0\x01\0\0",
    b"\xfd7zXZ\0\0\x01\x69\x22\xde\x36\0\0\0\0\x1c\xdf\x44\x21\x90\x42\x99\x0d\0\0\0\0\x01\x59\x5a",
    b"BZh9\x17\x72\x45\x38\x50\x90\0\0\0\0",
    &[0; 1024],
];

pub fn run(data: &[u8]) {
    if let Ok((_, plain_bytes)) = foreign::layer(data) {
        assert!(plain_bytes < 1 << 40);
    }
}
