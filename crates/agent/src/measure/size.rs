//! What a container has written on top of its image: the sum of its upper directory, counted as dockerd counts it.
//!
//! File sizes, not blocks; directories are free; a file with several names counts once.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Entries between two looks at the clock.
const CHECK: u32 = 64;

/// Bytes below `upper`; None when it took longer than `within`. What vanishes meanwhile does not count.
///
/// # Errors
/// When `upper` itself cannot be read.
pub(crate) fn written_bytes(upper: &Path, within: Duration) -> io::Result<Option<i64>> {
    let begun = Instant::now();
    let mut walk = Walk::default();
    walk.directory(fs::read_dir(upper)?);
    while let Some(directory) = walk.pending.pop() {
        if walk.seen >= CHECK {
            walk.seen = 0;
            if begun.elapsed() > within {
                return Ok(None);
            }
        }
        if let Ok(entries) = fs::read_dir(directory) {
            walk.directory(entries);
        }
    }
    Ok(Some(i64::try_from(walk.bytes).unwrap_or(i64::MAX)))
}

#[derive(Default)]
struct Walk {
    bytes: u64,
    seen: u32,
    pending: Vec<PathBuf>,
    /// Of files with several names.
    linked: HashSet<u64>,
}

impl Walk {
    fn directory(&mut self, entries: fs::ReadDir) {
        for entry in entries.flatten() {
            self.seen += 1;
            // Never followed: a link counts for itself.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                self.pending.push(entry.path());
            } else if metadata.nlink() < 2 || self.linked.insert(metadata.ino()) {
                self.bytes += metadata.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_once_and_directories_not_at_all() {
        let root = std::env::temp_dir().join(format!("wharfinger-size-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).expect("directories");
        fs::write(root.join("a/one"), [0; 1000]).expect("file");
        fs::write(root.join("a/b/two"), [0; 24]).expect("file");
        fs::hard_link(root.join("a/one"), root.join("again")).expect("link");
        std::os::unix::fs::symlink("12345", root.join("link")).expect("symlink");
        assert_eq!(written_bytes(&root, Duration::from_secs(9)).expect("walk"), Some(1029));
        fs::remove_dir_all(&root).expect("clean");
        assert!(written_bytes(&root, Duration::from_secs(9)).is_err());
    }
}
