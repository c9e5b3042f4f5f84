//! The freezer cgroup itself, for moments in which a container must stand still without being "paused" for anybody.
//!
//! `runc pause` and `resume` cost two processes, 30 ms; two writes to a cgroup cost none.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const ROOT: &str = "/sys/fs/cgroup";
/// Tasks in the middle of a system call that cannot be broken off.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_micros(200);

/// A frozen cgroup.
#[derive(Debug)]
pub(crate) struct Freezer(Kind);

#[derive(Debug)]
enum Kind {
    /// `freezer.state` of cgroup v1.
    V1(PathBuf),
    /// The directory, of cgroup v2.
    V2(PathBuf),
}

impl Freezer {
    /// Blocks until everything in the cgroup of process `pid` stands still.
    pub(crate) fn freeze(pid: u32) -> io::Result<Self> {
        let freezer = Self::of(pid)?;
        if let Err(error) = freezer.set(true).and_then(|()| freezer.wait()) {
            let _ = freezer.thaw();
            return Err(error);
        }
        Ok(freezer)
    }

    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        find(&text, Path::new(ROOT)).map(Self).ok_or_else(|| io::Error::other("no freezer cgroup"))
    }

    pub(crate) fn thaw(&self) -> io::Result<()> {
        self.set(false)
    }

    /// Everything in the cgroup.
    pub(crate) fn processes(&self) -> io::Result<Vec<u32>> {
        let dir = match &self.0 {
            Kind::V1(state) => state.parent().unwrap_or(Path::new(ROOT)),
            Kind::V2(dir) => dir,
        };
        let text = fs::read_to_string(dir.join("cgroup.procs"))?;
        Ok(text.lines().filter_map(|pid| pid.parse().ok()).collect())
    }

    fn set(&self, frozen: bool) -> io::Result<()> {
        match &self.0 {
            Kind::V1(state) => fs::write(state, if frozen { "FROZEN" } else { "THAWED" }),
            Kind::V2(dir) => fs::write(dir.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
        }
    }

    fn wait(&self) -> io::Result<()> {
        let begun = Instant::now();
        while !self.is_frozen()? {
            if begun.elapsed() > FREEZE_TIMEOUT {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn is_frozen(&self) -> io::Result<bool> {
        match &self.0 {
            Kind::V1(state) => Ok(fs::read_to_string(state)?.trim() == "FROZEN"),
            Kind::V2(dir) => Ok(fs::read_to_string(dir.join("cgroup.events"))?.lines().any(|l| l == "frozen 1")),
        }
    }
}

/// Lines of /proc/PID/cgroup: `6:freezer:/path`, or `0::/path` of the unified hierarchy.
fn find(text: &str, root: &Path) -> Option<Kind> {
    let mut unified = None;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?.trim_start_matches('/'));
        if controllers.split(',').any(|c| c == "freezer") {
            return Some(Kind::V1(root.join("freezer").join(path).join("freezer.state")));
        }
        if controllers.is_empty() {
            unified = Some(path);
        }
    }
    let base = if root.join("cgroup.controllers").exists() { root.to_owned() } else { root.join("unified") };
    unified.map(|path| Kind::V2(base.join(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_is_found_in_either_version() {
        let root = Path::new("/nowhere");
        let found = find("7:blkio:/a/b\n6:freezer:/a/b\n0::/a/b\n", root);
        assert!(matches!(found, Some(Kind::V1(p)) if p == Path::new("/nowhere/freezer/a/b/freezer.state")));
        let found = find("0::/a/b\n", root);
        assert!(matches!(found, Some(Kind::V2(p)) if p == Path::new("/nowhere/unified/a/b")));
        assert!(find("", root).is_none());
    }
}
