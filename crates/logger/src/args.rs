//! The query of the `binary://` URI, as containerd hands it over: key, value, key, value, in no order.

use std::path::PathBuf;

/// What one logger is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// Where the segments go; made if it is missing.
    pub(crate) dir: PathBuf,
    /// The socket for followers; any old one is replaced.
    pub(crate) socket: PathBuf,
    /// A segment is closed before it grows beyond this.
    pub(crate) max_bytes: u64,
    /// Segments that are kept, the newest included.
    pub(crate) max_files: usize,
    /// The shim never closes the stderr pipe of a terminal, so only stdout counts.
    pub(crate) tty: bool,
    /// Whose the pipes become; 0 = they stay as they are.
    pub(crate) owner: u32,
}

/// Below this a segment would be mostly file system overhead.
const MIN_SEGMENT_BYTES: u64 = 4096;

impl Args {
    pub(crate) fn parse(pairs: impl Iterator<Item = String>) -> Self {
        let mut args = Self {
            dir: PathBuf::new(),
            socket: PathBuf::new(),
            max_bytes: u64::MAX,
            max_files: usize::MAX,
            tty: false,
            owner: 0,
        };
        let mut pairs = pairs;
        while let (Some(key), Some(value)) = (pairs.next(), pairs.next()) {
            args.set(&key, value);
        }
        args
    }

    /// Zero and rubbish mean "no limit": a wrong option must not cost the container its output.
    fn set(&mut self, key: &str, value: String) {
        match key {
            "dir" => self.dir = value.into(),
            "socket" => self.socket = value.into(),
            "max_bytes" => self.max_bytes = limit(&value, u64::MAX).max(MIN_SEGMENT_BYTES),
            "max_files" => self.max_files = usize::try_from(limit(&value, u64::MAX)).unwrap_or(usize::MAX),
            "owner" => self.owner = value.parse().unwrap_or(0),
            "tty" => self.tty = value == "1",
            _ => {}
        }
    }
}

fn limit(text: &str, none: u64) -> u64 {
    text.parse().ok().filter(|&n| n > 0).unwrap_or(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Args {
        Args::parse(text.split_whitespace().map(String::from))
    }

    #[test]
    fn pairs_come_in_any_order() {
        let args = parse("tty 1 owner 70000 max_files 3 socket /r/s max_bytes 10000 dir /l");
        assert_eq!(
            args,
            Args { dir: "/l".into(), socket: "/r/s".into(), max_bytes: 10_000, max_files: 3, tty: true, owner: 70_000 }
        );
    }

    #[test]
    fn rubbish_and_zero_mean_no_limit() {
        let args = parse("dir /l max_bytes x max_files 0 odd");
        assert_eq!((args.max_bytes, args.max_files, args.tty), (u64::MAX, usize::MAX, false));
    }
}
