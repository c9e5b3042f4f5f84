//! The notation of detach keys, and the search for them in input that comes in pieces: nothing may be lost or invented.

use bytes::Bytes;
use docker_api::{detach_keys, stdcopy};

pub const SEEDS: &[&[u8]] =
    &[b"ctrl-p,ctrl-q\nls\x10\x11rest", b"a,a,b\naaab", b"DEL,ctrl-[\nx\x7f\x1b", b"\n\x10\x10\x11", b"ctrl-@\n\0\0"];

pub fn run(data: &[u8]) {
    let cut = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (notation, input) = (&data[..cut], data.get(cut + 1..).unwrap_or_default());
    let Some(Ok(keys)) = super::text(notation).map(detach_keys::parse) else { return };
    assert!(!keys.is_empty());
    let whole = scan(&keys, input, input.len().max(1));
    assert_eq!(whole, scan(&keys, input, 1), "pieces make no difference");
    let (forwarded, detached) = whole;
    let end = forwarded.len() + if detached { keys.len() } else { 0 };
    let expected = if detached { [&forwarded[..], &keys[..]].concat() } else { forwarded };
    assert_eq!(expected, input[..end], "what goes through is what came, up to the keys");
    assert!(detached || end == input.len());
    framed(input);
}

fn scan(keys: &[u8], input: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let mut scanner = detach_keys::Scanner::new(keys.to_vec());
    let mut out = Vec::new();
    for piece in input.chunks(piece) {
        let fed = scanner.feed(Bytes::copy_from_slice(piece));
        out.extend_from_slice(&fed.forward);
        if fed.detached {
            return (out, true);
        }
    }
    out.extend_from_slice(&scanner.finish());
    (out, false)
}

/// A client's reading of our frames.
fn framed(data: &[u8]) {
    let header = stdcopy::header(stdcopy::STDERR, data.len());
    assert_eq!((header[0], u32::from_be_bytes([header[4], header[5], header[6], header[7]])), (2, data.len() as u32));
}
