//! Where everything of one system is: what must last below the data directory, the rest below `/run/wharfinger/<instance>`.
//!
//! Several systems can live on one machine. Whatever has a machine-wide name (network namespaces, links, cgroups, the
//! nftables table, the run directory) carries the instance, five digits out of the data directory's path.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use domain::{Digest, Error, Result};

/// What may stand in a data directory before its system is settled. `up` does not settle among strangers' files, and `--purge` does not
/// delete them.
const OURS: [&str; 11] =
    ["authority", "blobs", "config", "hosts", "lock", "log", "postgres", "run", "shared", "site", "tenants"];

/// Paths and names; nothing exists yet.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Absolute, without symbolic links.
    pub(crate) data: PathBuf,
    pub(crate) instance: String,
    pub(crate) run: PathBuf,
}

impl Layout {
    pub(crate) fn new(data: &Path) -> Result<Self> {
        let data = resolved(data).map_err(|e| Error::because(format!("the data directory {}", data.display()), e))?;
        // Everything below is a name in configuration files and mount options, where this keeps quoting away.
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        match data.to_str() {
            Some(text) if text.chars().all(plain) && text.len() > 1 => {
                let instance = Digest::of(text.as_bytes()).hex()[..5].to_owned();
                let run = Path::new("/run/wharfinger").join(&instance);
                Ok(Self { data, instance, run })
            }
            _ => Err(Error::invalid(format!("the data directory's path has odd characters: {}", data.display()))),
        }
    }

    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.data.join("config").join(name)
    }

    pub(crate) fn tls(&self, role: &str) -> PathBuf {
        self.data.join("config/tls").join(role)
    }

    pub(crate) fn log(&self, process: &str) -> PathBuf {
        self.data.join("log").join(format!("{process}.log"))
    }

    pub(crate) fn tenant(&self, name: &str) -> PathBuf {
        self.data.join("tenants").join(name)
    }

    pub(crate) fn host_data(&self, host: &str) -> PathBuf {
        self.data.join("hosts").join(host)
    }

    pub(crate) fn host_run(&self, host: &str) -> PathBuf {
        self.run.join(host)
    }

    pub(crate) fn containerd_socket(&self, host: &str) -> PathBuf {
        self.host_run(host).join("containerd.sock")
    }

    pub(crate) fn postgres_socket_dir(&self) -> PathBuf {
        self.run.join("postgres")
    }

    /// Exists while that process serves; holds its process id.
    pub(crate) fn ready_file(&self, process: &str) -> PathBuf {
        self.data.join("run").join(format!("{process}.ready"))
    }

    /// Exists while the whole system serves; holds the supervisor's process id.
    pub(crate) fn system_ready_file(&self) -> PathBuf {
        self.data.join("run/ready")
    }

    pub(crate) fn netns(&self, host: &str) -> String {
        format!("wh-{}-{host}", self.instance)
    }

    pub(crate) fn bridge(&self) -> String {
        format!("wh{}", self.instance)
    }

    /// The root namespace's end of a host's cable: 15 bytes at the most.
    pub(crate) fn cable(&self, host: &str) -> String {
        format!("wh{}-{host}", self.instance)
    }

    /// At the root of the hierarchy; a host's containers are below `<prefix><host>`.
    pub(crate) fn cgroup_prefix(&self) -> String {
        format!("wharfinger-{}-", self.instance)
    }

    pub(crate) fn nft_table(&self) -> String {
        format!("wharfinger_{}", self.instance)
    }

    /// An error if the data directory is somebody else's: no system was ever settled in it, and it holds other things
    /// than the beginnings of one.
    pub(crate) fn check_ours(&self) -> Result<()> {
        if self.data.join("site.toml").exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.data).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let stem = name.trim_start_matches('.').split(['.', '-']).next().unwrap_or_default();
            if name != "lost+found" && !OURS.contains(&stem) {
                let dir = self.data.display();
                return Err(Error::conflict(format!("{dir} is no data directory of wharfinger: it holds {name}")));
            }
        }
        Ok(())
    }

    /// Makes the data directory, and nothing in it: the lock comes first. The database's user may pass through.
    pub(crate) fn create_data(&self) -> Result<()> {
        self.check_ours()?;
        create_dir(&self.data, 0o711)
    }

    /// Makes the directories that several parts share. The lock must be held.
    pub(crate) fn create(&self) -> Result<()> {
        let tree = [
            (self.data.join("config"), 0o700),
            (self.data.join("hosts"), 0o711),
            (self.data.join("log"), 0o755),
            (self.data.join("run"), 0o755),
            (self.data.join("tenants"), 0o700),
            (PathBuf::from("/run/wharfinger"), 0o755),
            (self.run.clone(), 0o711),
        ];
        for (dir, mode) in tree {
            create_dir(&dir, mode)?;
        }
        self.forget_previous_boot()
    }

    /// `/run` is not everywhere emptied at boot, and sockets and namespaces of the last boot would only mislead.
    fn forget_previous_boot(&self) -> Result<()> {
        let failed = |e| Error::because(format!("emptying {}", self.run.display()), e);
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(failed)?;
        let stamp = self.run.join("boot_id");
        if fs::read_to_string(&stamp).ok().as_deref() == Some(&boot) {
            return Ok(());
        }
        fs::remove_dir_all(&self.run).map_err(failed)?;
        create_dir(&self.run, 0o711)?;
        fs::write(stamp, boot).map_err(failed)
    }
}

/// `mkdir -p` that also sets the mode of the last part.
pub(crate) fn create_dir(dir: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(dir)
        .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(mode)))
        .map_err(|e| Error::because(format!("creating {}", dir.display()), e))
}

/// The path need not exist; what exists of it is resolved, so that one directory gives one instance.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    for ancestor in absolute.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            let rest = absolute.strip_prefix(ancestor).map_err(io::Error::other)?;
            return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
        }
    }
    Ok(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernels_limits_and_differ_between_systems() {
        let one = Layout::new(Path::new("/var/lib/wharfinger")).unwrap();
        let two = Layout::new(Path::new("/var/lib/wharfinger2")).unwrap();
        assert_ne!(one.instance, two.instance);
        assert!(one.cable("h200").len() <= 15);
        assert!(one.postgres_socket_dir().join(".s.PGSQL.5432").as_os_str().len() < 108);
    }

    #[test]
    fn a_symbolic_link_is_the_same_system() {
        let dir = std::env::temp_dir().join(format!("wharfinger-layout-{}", std::process::id()));
        fs::create_dir_all(dir.join("real")).unwrap();
        let _ = std::os::unix::fs::symlink(dir.join("real"), dir.join("link"));
        let names = ["real/data", "link/data"].map(|p| Layout::new(&dir.join(p)).unwrap().instance);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(names[0], names[1]);
    }

    #[test]
    fn a_directory_with_strangers_files_is_left_alone() {
        let dir = std::env::temp_dir().join(format!("wharfinger-ours-{}", std::process::id()));
        let layout = Layout::new(&dir).unwrap();
        for name in ["site.new", "postgres.new", ".authority-x1", "lock"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        assert!(layout.check_ours().is_ok());
        fs::create_dir_all(dir.join("photos")).unwrap();
        let refused = layout.check_ours().unwrap_err().to_string();
        fs::remove_dir_all(&dir).unwrap();
        assert!(refused.contains("photos"), "{refused}");
    }

    #[test]
    fn odd_paths_are_refused() {
        assert!(Layout::new(Path::new("/var/lib/a b")).is_err());
        assert!(Layout::new(Path::new("/")).is_err());
    }
}
