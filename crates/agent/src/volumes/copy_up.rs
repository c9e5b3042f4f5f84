//! An empty volume gets what the image has at the place where it is mounted, as Docker does it: owners, modes, links,
//! extended attributes, and the owner and mode of the directory itself.
//!
//! The image is a tenant's and may be hostile: its layers are mounted read-only in a mount namespace that only one thread
//! of ours is in, and the place is opened without leaving that root. Nobody can change the image, nor the directory that
//! is copied to, while `cp` works; what it made then moves into the volume. `cp` is a process of its own, since trees of
//! any depth are its trade, and a copy must not take the agent's threads.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use super::delete::remove_tree;

/// One volume's part.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    /// Absolute, in the image.
    pub target: String,
    /// The volume's content, on disk.
    pub data: PathBuf,
}

/// `layers` are the image's directories from the top down, with the ids that the volume shall have on disk; `scratch` is
/// a directory that may be mounted on. Blocks.
pub(crate) fn copy_up(layers: &[PathBuf], scratch: &Path, copies: Vec<Copy>) -> io::Result<()> {
    let empty: Vec<Copy> = copies.into_iter().filter(|copy| is_empty(&copy.data)).collect();
    match (layers, empty.is_empty()) {
        ([], _) | (_, true) => Ok(()),
        ([only], _) => copy_all(only, &empty),
        _ => in_own_namespace(layers, scratch, &empty),
    }
}

/// What cannot be read counts as not empty: nothing is copied over it.
fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

/// A thread that left its mount namespace cannot come back: it ends, and the mount with it, also when the agent is killed.
fn in_own_namespace(layers: &[PathBuf], scratch: &Path, copies: &[Copy]) -> io::Result<()> {
    fs::create_dir_all(scratch)?;
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            mount_layers(layers, scratch)?;
            copy_all(scratch, copies)
        });
        work.join().unwrap_or_else(|_| Err(io::Error::other("the copying thread panicked")))
    })
}

/// Relative to what they have in common: the options of a mount are at most a page.
fn mount_layers(layers: &[PathBuf], at: &Path) -> io::Result<()> {
    let parent = layers.iter().find_map(|layer| layer.ancestors().nth(2)).unwrap_or(Path::new("/"));
    nix::unistd::chdir(parent)?;
    let mut options = OsString::from("lowerdir=");
    for (index, layer) in layers.iter().enumerate() {
        if index > 0 {
            options.push(":");
        }
        options.push(layer.strip_prefix(parent).unwrap_or(layer));
    }
    Ok(mount(Some("overlay"), at, Some("overlay"), MsFlags::MS_RDONLY, Some(options.as_os_str()))?)
}

fn copy_all(root: &Path, copies: &[Copy]) -> io::Result<()> {
    let root = File::open(root)?;
    for copy in copies {
        // Another volume of the same place may have been first.
        if let Some(source) = open_in(&root, &copy.target)?
            && is_empty(&copy.data)
        {
            fill(&source, &copy.data)?;
        }
    }
    Ok(())
}

/// None where the image has no such directory.
fn open_in(root: &File, target: &str) -> io::Result<Option<File>> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    use nix::errno::Errno;
    match openat2(root.as_fd(), target.trim_start_matches('/'), how) {
        Ok(fd) => Ok(Some(File::from(fd))),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// All of it beside the volume's content first, then into it: a crash or a full disk leaves no half.
fn fill(source: &File, data: &Path) -> io::Result<()> {
    let beside = data.with_file_name("_copy");
    remove_tree(&beside)?;
    let copied = cp(source, &beside).and_then(|()| move_into(&beside, data));
    if copied.is_err() {
        let _ = remove_tree(&beside);
    }
    copied
}

fn cp(source: &File, to: &Path) -> io::Result<()> {
    let from = format!("/proc/{}/fd/{}/.", std::process::id(), source.as_raw_fd());
    let out = Command::new("cp")
        .args(["-a", "-T", "--", &from])
        .arg(to)
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .output()?;
    match out.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&out.stderr).chars().take(500).collect::<String>())),
    }
}

/// The volume's own directory stays: a container may have it mounted.
fn move_into(from: &Path, data: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::rename(entry.path(), data.join(entry.file_name()))?;
    }
    let own = fs::metadata(from)?;
    chown(data, Some(own.uid()), Some(own.gid()))?;
    fs::set_permissions(data, fs::Permissions::from_mode(own.mode() & 0o7777))?;
    fs::remove_dir(from)
}
