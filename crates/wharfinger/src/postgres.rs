//! The embedded PostgreSQL: the distribution's binaries, a private cluster, one Unix socket and no TCP.
//!
//! The server refuses to run as root, so it gets the user `postgres` (or `nobody`). Whoever reaches the socket is let in
//! without a password, hence the socket's directory is that user's alone (root passes anyway).

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use domain::{Error, Result};
use nix::{sys::signal::Signal, unistd::User};
use tokio::process::Command;

use crate::{
    layout::{Layout, create_dir},
    say, spawn,
    supervise::{Probe, Process},
    tool,
};

const BINARIES: &str = "/usr/lib/postgresql";
const NAME: &str = "wharfinger";

pub(crate) struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    socket_dir: PathBuf,
    user: User,
}

impl Postgres {
    /// Finds the binaries, and makes the cluster if there is none.
    pub(crate) async fn prepare(layout: &Layout) -> Result<Self> {
        let data = layout.data.join("postgres");
        let bin = binaries(&data)?;
        let postgres = Self { bin, data, socket_dir: layout.postgres_socket_dir(), user: unprivileged_user()? };
        postgres.check_reach()?;
        create_dir(&postgres.socket_dir, 0o700)?;
        postgres.own(&postgres.socket_dir)?;
        if !postgres.data.exists() {
            postgres.create_cluster().await?;
        }
        Ok(postgres)
    }

    /// As `sqlx` wants it.
    pub(crate) fn url(layout: &Layout) -> String {
        format!("postgres://{NAME}@localhost/{NAME}?host={}", layout.postgres_socket_dir().display())
    }

    pub(crate) fn process(self, layout: &Layout) -> Process {
        Process {
            name: "postgres".into(),
            log: layout.log("postgres"),
            ready_file: layout.ready_file("postgres"),
            probe: Probe::Socket(self.socket_dir.join(".s.PGSQL.5432")),
            stop_signal: Signal::SIGINT, // "fast": open sessions are ended
            command: Box::new(move || Ok(self.server())),
        }
    }

    fn server(&self) -> Command {
        let mut command = self.command("postgres");
        command.arg("-D").arg(&self.data);
        let socket_dir = format!("unix_socket_directories={}", self.socket_dir.display());
        for setting in [
            "listen_addresses=",
            &socket_dir,
            "unix_socket_permissions=0700",
            "port=5432",
            "max_connections=200",
            "shared_buffers=128MB",
            "fsync=on",
            "synchronous_commit=on",
            "wal_level=minimal", // nobody replicates it, so less is written
            "max_wal_senders=0",
            "jit=off", // our queries are short
            "logging_collector=off",
            "log_destination=stderr",
        ] {
            command.arg("-c").arg(setting);
        }
        spawn::die_with_parent(&mut command, Signal::SIGINT);
        command
    }

    /// Beside its place and renamed, so that a crash leaves nothing that looks like a cluster.
    async fn create_cluster(&self) -> Result<()> {
        say::about("postgres", format_args!("creating a cluster in {}", self.data.display()));
        let fresh = self.data.with_extension("new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(|e| Error::because(format!("removing {}", fresh.display()), e))?;
        }
        create_dir(&fresh, 0o700)?;
        self.own(&fresh)?;
        let mut initdb = self.command("initdb");
        initdb.args(["-U", NAME, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-D"]).arg(&fresh);
        tool::output(initdb, "").await?;
        let mut single = self.command("postgres");
        single.args(["--single", "-D"]).arg(&fresh).arg("postgres");
        tool::output(single, &format!("CREATE DATABASE {NAME};\n")).await?;
        fs::rename(&fresh, &self.data).map_err(|e| Error::because(format!("creating {}", self.data.display()), e))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.uid(self.user.uid.as_raw()).gid(self.user.gid.as_raw()).current_dir("/");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
        command
    }

    fn own(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.user.uid.as_raw()), Some(self.user.gid.as_raw()))
            .map_err(|e| Error::because(format!("giving {} to {}", path.display(), self.user.name), e))
    }

    /// Better said here than by a puzzling message of initdb's.
    fn check_reach(&self) -> Result<()> {
        for dir in self.data.ancestors().skip(1) {
            let mode = fs::metadata(dir).map_or(0, |m| m.permissions().mode());
            if mode & 0o001 == 0 {
                return Err(Error::invalid(format!(
                    "the database runs as user {}, who may not pass through {}: choose another --data-dir",
                    self.user.name,
                    dir.display()
                )));
            }
        }
        Ok(())
    }
}

/// Of the version that made the cluster; of the newest that is installed, if there is no cluster.
fn binaries(data: &Path) -> Result<PathBuf> {
    let made_by = fs::read_to_string(data.join("PG_VERSION")).ok().and_then(|v| v.trim().parse::<u32>().ok());
    let installed = fs::read_dir(BINARIES).into_iter().flatten().flatten();
    let mut versions: Vec<u32> = installed
        .filter(|entry| entry.path().join("bin/initdb").exists())
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable();
    let chosen = match made_by {
        Some(version) => versions.contains(&version).then_some(version),
        None => versions.last().copied(),
    };
    let wanted = made_by.map_or(String::new(), |v| format!(" {v}"));
    chosen.map(|v| Path::new(BINARIES).join(v.to_string()).join("bin")).ok_or_else(|| {
        Error::invalid(format!(
            "PostgreSQL{wanted} is not installed below {BINARIES} (Debian package postgresql{})",
            wanted.replace(' ', "-")
        ))
    })
}

fn unprivileged_user() -> Result<User> {
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .ok_or_else(|| Error::invalid("neither user postgres nor nobody exists, and PostgreSQL does not run as root"))
}
