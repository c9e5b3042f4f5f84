//! The key sequence that detaches a client and leaves the container running (`ctrl-p,ctrl-q` unless told otherwise).
//!
//! The first keys of a sequence are held back until it is clear that the rest does not follow, as dockerd does: so ctrl-p
//! in a shell shows with the next key only. At the end of input what is held must still be passed on: [`Scanner::finish`].

use bytes::{Bytes, BytesMut};

/// 400, in dockerd's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid detach keys ({0}) provided")]
pub struct DetachKeysError(String);

/// ctrl-p, ctrl-q.
pub const DEFAULT: &[u8] = &[16, 17];

/// Docker's notation: keys apart by commas, each one ASCII character, `DEL` or `ctrl-` and one of `a-z @ [ \ ] ^ _`. `""` is the
/// default.
pub fn parse(notation: &str) -> Result<Vec<u8>, DetachKeysError> {
    if notation.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    let keys: Option<Vec<u8>> = notation.split(',').map(key).collect();
    keys.filter(|k| k.len() <= 32).ok_or_else(|| DetachKeysError(notation.to_owned()))
}

fn key(name: &str) -> Option<u8> {
    match (name.as_bytes(), name.to_ascii_lowercase().strip_prefix("ctrl-").map(str::as_bytes)) {
        ([c], _) if c.is_ascii() => Some(*c),
        (_, Some([c @ b'a'..=b'z'])) => Some(c - b'a' + 1),
        (_, Some([c @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')])) => Some(c - b'@'),
        _ if name == "DEL" => Some(127),
        _ => None,
    }
}

/// What became of a piece of input.
#[derive(Debug, PartialEq, Eq)]
pub struct Fed {
    /// For the container.
    pub forward: Bytes,
    /// The sequence was complete; what followed it is dropped.
    pub detached: bool,
}

/// Looks for one sequence in a stream of input.
#[derive(Debug)]
pub struct Scanner {
    keys: Vec<u8>,
    /// Always a true prefix of `keys`.
    held: Vec<u8>,
}

impl Scanner {
    pub fn new(keys: Vec<u8>) -> Self {
        Self { keys, held: Vec::new() }
    }

    /// The next piece of input. Does not copy when no key of the sequence is near.
    pub fn feed(&mut self, input: Bytes) -> Fed {
        let near = !self.held.is_empty() || self.keys.first().is_some_and(|first| input.contains(first));
        if !near {
            return Fed { forward: input, detached: false };
        }
        let mut forward = BytesMut::with_capacity(input.len() + self.held.len());
        for byte in input {
            self.held.push(byte);
            while !self.keys.starts_with(&self.held) {
                forward.extend_from_slice(&[self.held.remove(0)]);
            }
            if self.held.len() == self.keys.len() {
                self.held.clear();
                return Fed { forward: forward.freeze(), detached: true };
            }
        }
        Fed { forward: forward.freeze(), detached: false }
    }

    /// Input has ended: the keys that were held back.
    pub fn finish(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation() {
        assert_eq!(parse(""), Ok(vec![16, 17]));
        assert_eq!(parse("ctrl-a,x,ctrl-_,DEL"), Ok(vec![1, b'x', 31, 127]));
        for bad in ["ctrl-", "ctrl-1", "ab", ",", "é"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("bad").expect_err("bad").to_string(), "Invalid detach keys (bad) provided");
    }

    fn run(keys: &[u8], pieces: &[&'static [u8]]) -> (Vec<u8>, bool) {
        let mut scanner = Scanner::new(keys.to_vec());
        let mut out = Vec::new();
        for piece in pieces {
            let fed = scanner.feed(Bytes::from_static(piece));
            out.extend_from_slice(&fed.forward);
            if fed.detached {
                return (out, true);
            }
        }
        out.extend_from_slice(&scanner.finish());
        (out, false)
    }

    #[test]
    fn a_sequence_is_found_over_pieces_and_false_starts_are_passed_on() {
        assert_eq!(run(DEFAULT, &[b"ab\x10", b"\x11z"]), (b"ab".to_vec(), true));
        assert_eq!(run(DEFAULT, &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
        assert_eq!(run(DEFAULT, &[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
        assert_eq!(run(DEFAULT, &[b"a\x10"]), (b"a\x10".to_vec(), false));
        assert_eq!(run(b"aab", &[b"aaab"]), (b"a".to_vec(), true));
    }
}
