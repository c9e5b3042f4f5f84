//! `top`: the processes of a container, from /proc, in the columns that `ps` would show.
//!
//! `ps` itself is not run: it would read every process of the host. Process ids are the container's own, user ids those
//! of its user namespace: the host's numbers are nobody's business.

use std::{collections::BTreeMap, fs, sync::Arc};

use domain::{ContainerId, Error, Result, Status, TenantId};

use super::Engine;

/// Columns of `ps -ef`, dockerd's default.
const FULL: [&str; 8] = ["uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"];
/// Columns of `ps aux`.
const AUX: [&str; 11] = ["user", "pid", "pcpu", "pmem", "vsz", "rss", "tty", "stat", "start", "time", "command"];

#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub titles: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Engine {
    /// `ps_args` as the client gives them; none: `-ef`.
    ///
    /// # Errors
    /// `Conflict` unless the container runs, `Invalid` for options or columns that we do not know.
    pub async fn top(self: &Arc<Self>, tenant: TenantId, id: &ContainerId, ps_args: &[String]) -> Result<Table> {
        let container = self.find(tenant, id)?;
        match container.status() {
            Status::Running | Status::Paused => {}
            Status::Restarting => {
                return Err(Error::conflict(format!(
                    "Container {id} is restarting, wait until the container is running"
                )));
            }
            _ => return Err(Error::conflict(format!("container {id} is not running"))),
        }
        let columns = columns(ps_args)?;
        let pids = self.containerd.pids(id.as_str()).await?;
        let uid_base = container.accepted.uid_base;
        let read = move || table(&pids, &columns, uid_base);
        tokio::task::spawn_blocking(read).await.map_err(|e| Error::because("process list", e))
    }
}

/// Name of a column and its title.
type Column = (String, String);

fn columns(args: &[String]) -> Result<Vec<Column>> {
    let words: Vec<&str> = args.iter().flat_map(|a| a.split_whitespace()).collect();
    let mut chosen = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        match word {
            "-ef" | "-e" | "-f" | "ef" | "-A" => {}
            "aux" | "-aux" | "axu" => chosen.extend(named(&AUX)?),
            "-o" | "o" | "-eo" | "-axo" => {
                let list = words.next().ok_or_else(|| Error::invalid("ps: option -o needs a list of columns"))?;
                chosen.extend(listed(list)?);
            }
            other => match other.strip_prefix("-eo").or(other.strip_prefix("-o")) {
                Some(list) if !list.is_empty() => chosen.extend(listed(list)?),
                _ => return Err(Error::invalid(format!("ps: unsupported option {other:?}"))),
            },
        }
    }
    if chosen.is_empty() { named(&FULL) } else { Ok(chosen) }
}

fn named(names: &[&str]) -> Result<Vec<Column>> {
    names.iter().map(|name| column(name)).collect()
}

/// `pid,comm` or `pid=ID`.
fn listed(list: &str) -> Result<Vec<Column>> {
    list.split(',').filter(|c| !c.is_empty()).map(column).collect()
}

fn column(given: &str) -> Result<Column> {
    let (name, title) = given.split_once('=').map_or((given, None), |(n, t)| (n, Some(t.to_owned())));
    let default = match name {
        "pcpu" | "%cpu" => "%CPU",
        "pmem" | "%mem" => "%MEM",
        "comm" | "ucmd" | "ucomm" => "COMMAND",
        "args" | "command" => "COMMAND",
        "vsz" | "vsize" => "VSZ",
        "tty" | "tt" | "tname" => "TTY",
        "stat" | "s" | "state" => "STAT",
        "etime" => "ELAPSED",
        "time" | "cputime" => "TIME",
        "group" => "GROUP",
        "euid" | "uid" => "UID",
        "gid" | "egid" => "GID",
        "user" | "euser" | "uname" => "USER",
        "cmd" => "CMD",
        "c" | "pid" | "ppid" | "rss" | "stime" | "start" | "nlwp" | "ni" | "pri" | "pgid" | "sid" => "",
        _ => return Err(Error::invalid(format!("error: unknown user-defined format specifier {name:?}"))),
    };
    let default = if default.is_empty() { name.to_ascii_uppercase() } else { default.to_owned() };
    Ok((name.to_owned(), title.unwrap_or(default)))
}

fn table(pids: &[u32], columns: &[Column], uid_base: u32) -> Table {
    let inside: BTreeMap<u32, u32> = pids.iter().filter_map(|pid| Some((*pid, inner_pid(*pid)?))).collect();
    let rows = pids.iter().filter_map(|pid| {
        let process = Process::read(*pid, &inside, uid_base)?;
        Some(columns.iter().map(|(name, _)| process.field(name)).collect())
    });
    Table { titles: columns.iter().map(|(_, title)| title.clone()).collect(), rows: rows.collect() }
}

fn inner_pid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status_field(&status, "NSpid:")?.split_whitespace().last()?.parse().ok()
}

fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

struct Process {
    pid: u32,
    ppid: u32,
    uid: String,
    gid: String,
    comm: String,
    command: String,
    /// Fields of /proc/PID/stat from the state on: `[0]` is field 3 of proc(5).
    stat: Vec<String>,
    uptime_s: f64,
}

impl Process {
    /// None: it ended.
    fn read(pid: u32, inside: &BTreeMap<u32, u32>, uid_base: u32) -> Option<Self> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let status = read("status")?;
        let stat = read("stat")?;
        // The name may hold spaces and parentheses: the last one closes it.
        let stat: Vec<String> = stat[stat.rfind(')')? + 1..].split_whitespace().map(str::to_owned).collect();
        let own = |field: &str| {
            let id: u32 = status_field(&status, field)?.split_whitespace().nth(1)?.parse().ok()?;
            Some(id.checked_sub(uid_base).map_or("65534".to_owned(), |id| id.to_string()))
        };
        let comm = status_field(&status, "Name:")?.to_owned();
        let command = read("cmdline")?.trim_end_matches('\0').replace('\0', " ");
        let ppid = stat.get(1)?.parse().ok()?;
        Some(Self {
            pid: *inside.get(&pid)?,
            ppid: inside.get(&ppid).copied().unwrap_or(0),
            uid: own("Uid:")?,
            gid: own("Gid:")?,
            command: if command.is_empty() { format!("[{comm}]") } else { command },
            comm,
            stat,
            uptime_s: fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?,
        })
    }

    /// Field `n` of proc(5)'s table.
    fn number(&self, n: usize) -> u64 {
        self.stat.get(n - 3).and_then(|f| f.parse().ok()).unwrap_or(0)
    }

    fn cpu_s(&self) -> u64 {
        (self.number(14) + self.number(15)) / TICKS_PER_S
    }

    fn age_s(&self) -> f64 {
        (self.uptime_s - self.number(22) as f64 / TICKS_PER_S as f64).max(0.01)
    }

    fn field(&self, name: &str) -> String {
        let rss_kib = self.number(24) * PAGE_KIB;
        match name {
            "pid" => self.pid.to_string(),
            "ppid" => self.ppid.to_string(),
            "uid" | "euid" => self.uid.clone(),
            "user" | "euser" | "uname" if self.uid == "0" => "root".to_owned(),
            "user" | "euser" | "uname" => self.uid.clone(),
            "gid" | "egid" | "group" => self.gid.clone(),
            "comm" | "ucmd" | "ucomm" => self.comm.clone(),
            "args" | "command" | "cmd" => self.command.clone(),
            "c" => format!("{:.0}", 100.0 * self.cpu_s() as f64 / self.age_s()),
            "pcpu" | "%cpu" => format!("{:.1}", 100.0 * self.cpu_s() as f64 / self.age_s()),
            "pmem" | "%mem" => format!("{:.1}", 100.0 * rss_kib as f64 / memory_kib()),
            "vsz" | "vsize" => (self.number(23) / 1024).to_string(),
            "rss" => rss_kib.to_string(),
            "tty" | "tt" | "tname" => terminal(self.number(7)),
            "stat" | "s" | "state" => self.stat.first().cloned().unwrap_or_default(),
            "time" | "cputime" => clock(self.cpu_s()),
            "etime" => clock(self.age_s() as u64),
            "stime" | "start" => started(self.age_s()),
            "nlwp" => self.number(20).to_string(),
            "ni" => (self.number(19) as i64).to_string(),
            "pri" => self.number(18).to_string(),
            "pgid" => self.number(5).to_string(),
            "sid" => self.number(6).to_string(),
            _ => "-".to_owned(),
        }
    }
}

/// USER_HZ, the same on every Linux that we run on.
const TICKS_PER_S: u64 = 100;
const PAGE_KIB: u64 = 4;

/// All of it, as `ps` reckons.
fn memory_kib() -> f64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|l| l.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<f64>().ok());
    total.unwrap_or(f64::INFINITY)
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn started(age_s: f64) -> String {
    let at = chrono::Local::now() - chrono::Duration::seconds(age_s as i64);
    at.format(if age_s < 86_400.0 { "%H:%M" } else { "%b%d" }).to_string()
}

/// Major 136: pseudo terminals.
fn terminal(device: u64) -> String {
    match (device >> 8) & 0xfff {
        136 => format!("pts/{}", (device & 0xff) | ((device >> 12) & 0xfff00)),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(args: &[&str]) -> Vec<String> {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        columns(&args).expect("columns").into_iter().map(|(_, title)| title).collect()
    }

    #[test]
    fn titles_are_those_of_ps() {
        assert_eq!(titles(&[]), ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        assert_eq!(titles(&["-o", "pid,comm"]), ["PID", "COMMAND"]);
        assert_eq!(titles(&["-o pid=ID,user"]), ["ID", "USER"]);
        assert_eq!(titles(&["aux"]).len(), 11);
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for args in [&["-o", "environ"][..], &["-o"], &["-C", "sh"], &["--help"]] {
            let args: Vec<String> = args.iter().map(|a: &&str| (*a).to_owned()).collect();
            assert!(columns(&args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn a_process_shows_itself() {
        let pid = std::process::id();
        let inside = BTreeMap::from([(pid, 1)]);
        let process = Process::read(pid, &inside, 0).expect("ourselves");
        assert_eq!((process.field("pid").as_str(), process.field("ppid").as_str()), ("1", "0"));
        assert!(!process.field("cmd").is_empty());
    }
}
