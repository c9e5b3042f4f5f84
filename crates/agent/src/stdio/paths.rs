//! Where a container's input and output live, and the URI that makes containerd's shim start our logger.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use domain::{LogDriver, LogSpec};

/// Enough for a slow client of `attach`; `docker logs` is refused for this driver.
const UNKEPT_SEGMENT_BYTES: u64 = 1 << 20;
const UNKEPT_SEGMENTS: u32 = 2;

/// All that is in the two directories of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The segments; survives a reboot.
    pub log_dir: PathBuf,
    /// The logger's; refuses connections while the container does not run.
    pub log_socket: PathBuf,
    /// FIFO, where stdin is open.
    pub stdin: PathBuf,
    /// A directory for each exec.
    pub execs: PathBuf,
}

/// `dir` keeps the log, `run` sockets and FIFOs.
pub fn paths(dir: &Path, run: &Path) -> Paths {
    Paths {
        log_dir: dir.join("log"),
        log_socket: run.join("log.sock"),
        stdin: run.join("stdin"),
        execs: run.join("execs"),
    }
}

/// File name of the logger among the helpers.
pub(super) const LOGGER: &str = "wharfinger-logger";

/// Bytes of a segment and number of segments.
pub(super) fn limits(log: &LogSpec) -> (u64, u32) {
    match log.driver {
        LogDriver::JsonFile | LogDriver::Local => (log.max_size_bytes, log.max_files),
        LogDriver::None => (UNKEPT_SEGMENT_BYTES, UNKEPT_SEGMENTS),
    }
}

/// `binary://` URI for both stdout and stderr of `Tasks.Create`. `owner`: the host's number for the container's root.
pub fn log_uri(helpers: &Path, paths: &Paths, log: &LogSpec, tty: bool, owner: u32) -> String {
    let (max_bytes, max_files) = limits(log);
    format!(
        "binary://{}?dir={}&socket={}&max_bytes={max_bytes}&max_files={max_files}&tty={}&owner={owner}",
        escape(&helpers.join(LOGGER)),
        escape(&paths.log_dir),
        escape(&paths.log_socket),
        u8::from(tty),
    )
}

/// Percent-encoding that is right in a path and in a query.
fn escape(path: &Path) -> String {
    let mut text = String::new();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(driver: LogDriver) -> LogSpec {
        LogSpec { driver, max_size_bytes: 20_000, max_files: 3, attributes: Default::default() }
    }

    #[test]
    fn uri_survives_odd_paths() {
        let paths = paths(Path::new("/var/a b/c"), Path::new("/run/50%"));
        let uri = log_uri(Path::new("/usr/lib/x y"), &paths, &spec(LogDriver::JsonFile), true, 70_000);
        let expected = "binary:///usr/lib/x%20y/wharfinger-logger?dir=/var/a%20b/c/log&socket=/run/50%25/log.sock";
        assert_eq!(uri, format!("{expected}&max_bytes=20000&max_files=3&tty=1&owner=70000"));
    }

    #[test]
    fn driver_none_keeps_a_small_ring() {
        let paths = paths(Path::new("/c"), Path::new("/r"));
        let uri = log_uri(Path::new("/h"), &paths, &spec(LogDriver::None), false, 0);
        assert!(uri.ends_with("&max_bytes=1048576&max_files=2&tty=0&owner=0"), "{uri}");
    }
}
