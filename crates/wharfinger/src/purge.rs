//! `wharfinger down --purge`: leaves nothing of a system on the machine, whatever state it was left in.
//!
//! It asks no containerd and no agent, since they may be dead: processes are found by cgroup and by the files that they
//! were started with, and killed; then mounts, namespaces, links, cgroups and directories go, each by its name. Nothing
//! is done to another system on the same machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use domain::{Error, Result};
use nix::{
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{layout::Layout, say, tool, underlay};

const GONE_WITHIN: Duration = Duration::from_secs(10);
/// What may be left of a system; another program that merely mentions our files (an editor, a shell) is spared.
const OURS: [&str; 6] =
    ["containerd", "containerd-shim-runc-v2", "postgres", "wharfinger", "wharfinger-logger", "wharfinger-enter"];
/// runc's own state, where shims of every containerd on the machine keep it.
const RUNC_STATE: &str = "/run/containerd/runc";

/// The supervisor must be gone.
pub(crate) fn run(layout: &Layout) -> Result<()> {
    kill_all(layout);
    forget_shims(layout);
    unmount_below(&[&layout.run, &layout.data]);
    remove_cgroups(layout);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Error::because("starting the runtime", e))?.block_on(remove_network(layout));
    remove_dir(&layout.run)?;
    for entry in children(&layout.data).iter().filter(|p| !p.ends_with("lost+found")) {
        remove_entry(entry)?;
    }
    // Where it is a file system of its own, its root stays.
    let _ = fs::remove_dir(&layout.data);
    Ok(())
}

/// Again and again until nobody is left: a process may fork while it is looked at.
fn kill_all(layout: &Layout) {
    let began = Instant::now();
    loop {
        let pids: Vec<i32> = contained(layout).into_iter().chain(started(layout)).collect();
        if pids.is_empty() || began.elapsed() > GONE_WITHIN {
            return;
        }
        for pid in pids {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        sleep(Duration::from_millis(20));
    }
}

/// Processes in our cgroups. Frozen ones are thawed, for SIGKILL waits for that in cgroup v1.
fn contained(layout: &Layout) -> Vec<i32> {
    let mut pids = Vec::new();
    for top in cgroups(layout) {
        for dir in tree(&top) {
            let _ = fs::write(dir.join("freezer.state"), "THAWED");
            let _ = fs::write(dir.join("cgroup.freeze"), "0");
            let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
    }
    pids
}

/// Shims, loggers and roles that were started with one of our files on their command line.
fn started(layout: &Layout) -> Vec<i32> {
    let prefixes = [&layout.data, &layout.run].map(|dir| format!("{}/", dir.display()));
    let ours = |pid: &i32| {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let program = fs::read_link(process.join("exe")).unwrap_or_default();
        // After an upgrade the link reads "... (deleted)".
        let name = program.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let name = name.split(' ').next().unwrap_or_default();
        let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        OURS.contains(&name) && prefixes.iter().any(|prefix| mentions(&arguments, prefix))
    };
    let this = std::process::id() as i32;
    processes().into_iter().filter(|pid| *pid != this).filter(ours).collect()
}

/// A path stands at the start of an argument, or after a `=` or `:` in it. Not elsewhere: `/a/data/` is not in `/b/a/data/x`.
fn mentions(arguments: &str, prefix: &str) -> bool {
    let starts = |at: usize| arguments[..at].chars().next_back().is_none_or(|c| matches!(c, '\0' | '=' | ':'));
    arguments.match_indices(prefix).any(|(at, _)| starts(at))
}

fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What killed shims leave outside our directories: runc's state and the shim's socket, both known from the bundles.
fn forget_shims(layout: &Layout) {
    for host in children(&layout.run) {
        for namespace in children(&host.join("containerd/io.containerd.runtime.v2.task")) {
            for bundle in children(&namespace) {
                let id = [&namespace, &bundle].map(|p| p.file_name().unwrap_or_default().to_owned());
                let _ = fs::remove_dir_all(Path::new(RUNC_STATE).join(&id[0]).join(&id[1]));
                let address = fs::read_to_string(bundle.join("address")).unwrap_or_default();
                if let Some(socket) = address.trim().strip_prefix("unix://") {
                    let _ = fs::remove_file(socket);
                }
            }
        }
    }
}

/// Last mounted first. Detached, so that a user who is still on his way out does not hold us.
fn unmount_below(dirs: &[&PathBuf]) {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let below: Vec<PathBuf> = points.filter(|p| dirs.iter().any(|dir| p.starts_with(dir) && p != *dir)).collect();
    for point in below.iter().rev() {
        let _ = umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
}

fn remove_cgroups(layout: &Layout) {
    let began = Instant::now();
    // All of a tree is tried in each round, children first. A cgroup stays busy until the kernel has buried its last
    // process.
    let busy = |top: &PathBuf| tree(top).iter().rev().filter(|dir| fs::remove_dir(dir).is_err()).count() > 0;
    while cgroups(layout).iter().any(busy) {
        if began.elapsed() > GONE_WITHIN {
            say::line("some cgroups are still busy");
            return;
        }
        sleep(Duration::from_millis(20));
    }
}

/// Our top directories in each hierarchy, of cgroup v1 and v2.
fn cgroups(layout: &Layout) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let hierarchies = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(point))
    });
    let prefix = layout.cgroup_prefix();
    let ours = |p: &PathBuf| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(&prefix));
    hierarchies.flat_map(|h| children(&h)).filter(|p| p.is_dir()).filter(ours).collect()
}

/// A directory and all below it, parents first.
fn tree(top: &Path) -> Vec<PathBuf> {
    let mut all = vec![top.to_owned()];
    let mut next = 0;
    while let Some(dir) = all.get(next) {
        let below = children(dir).into_iter().filter(|p| p.is_dir()).collect::<Vec<_>>();
        all.extend(below);
        next += 1;
    }
    all
}

fn children(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Whatever is missing already is fine.
async fn remove_network(layout: &Layout) {
    let prefix = layout.netns("");
    for path in children(Path::new("/run/netns")) {
        if let Some(name) = path.file_name().and_then(|n| n.to_str()).filter(|n| n.starts_with(&prefix)) {
            let _ = tool::run("ip", &["netns", "delete", name]).await;
        }
    }
    let bridge = layout.bridge();
    for path in children(Path::new("/sys/class/net")) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if name == bridge || name.starts_with(&format!("{bridge}-")) {
            let _ = tool::run("ip", &["link", "delete", &name]).await;
        }
    }
    let _ = tool::run("nft", &["delete", "table", "ip", &layout.nft_table()]).await;
    restore_forwarding(layout).await;
}

/// Only when no other system on the machine needs it.
async fn restore_forwarding(layout: &Layout) {
    let tables = tool::run("nft", &["list", "tables"]).await.unwrap_or_default();
    let before = fs::read_to_string(underlay::forwarding_stamp(layout)).unwrap_or_default();
    if before.trim() == "0" && !tables.contains(" wharfinger_") {
        let _ = fs::write("/proc/sys/net/ipv4/ip_forward", "0");
    }
}

fn remove_entry(path: &Path) -> Result<()> {
    if path.is_dir() && !path.is_symlink() {
        return remove_dir(path);
    }
    fs::remove_file(path).map_err(|e| Error::because(format!("removing {}", path.display()), e))
}

/// A lazily detached mount can keep a directory busy for a moment.
fn remove_dir(dir: &Path) -> Result<()> {
    let began = Instant::now();
    loop {
        match fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) if began.elapsed() > GONE_WITHIN => {
                return Err(Error::because(format!("removing {}", dir.display()), e));
            }
            Err(_) => {
                unmount_below(&[&dir.to_owned()]);
                sleep(Duration::from_millis(50));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn only_whole_paths_count_as_mentioned() {
        let prefix = "/run/wharfinger/abcde/";
        assert!(mentions("containerd-shim-runc-v2\0-address\0/run/wharfinger/abcde/h1/containerd.sock\0", prefix));
        assert!(mentions("wharfinger-logger\0dir\0/run/wharfinger/abcde/h1/c/1\0", prefix));
        assert!(mentions("postgres\0-c\0unix_socket_directories=/run/wharfinger/abcde/postgres\0", prefix));
        assert!(!mentions("wharfinger\0/backup/run/wharfinger/abcde/h1\0", prefix));
        assert!(!mentions("wharfinger\0/run/wharfinger/abcdef/h1\0", prefix));
    }
}
