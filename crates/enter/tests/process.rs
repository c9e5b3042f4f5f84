//! Against a process in namespaces and a root of its own, as a container has, and against roots that are mounted for a call.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// A root with `/etc`, `/tmp` and `/data`; a process that has it and does nothing.
const INSIDE: &str = "
    set -e; mount -t tmpfs none /mnt; cd /mnt; mkdir bin etc tmp data proc; cp /bin/busybox bin/; mount -t proc none proc
    echo marker >etc/passwd; cd data; printf abc >file; chmod 640 file; ln file hard; mkdir dir; echo in >dir/inner
    ln -s ../../../../data/file link; ln -s nowhere dangling; ln -s dir todir; mkfifo pipe; : >$(printf 'odd\\377\\033')
    exec chroot /mnt /bin/busybox sh -c 'echo ready; exec /bin/busybox sleep 60'";

struct Container {
    process: Child,
    /// Its name, and the cgroup of that name.
    id: String,
    cgroup: PathBuf,
}

impl Container {
    /// None where this user may not do such things.
    fn start() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("wharfinger-enter-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let hierarchies = fs::read_dir("/sys/fs/cgroup").ok()?.flatten().map(|e| e.path().join(&id));
        let candidates = hierarchies.chain([Path::new("/sys/fs/cgroup").join(&id)]);
        let cgroup = candidates.filter(|dir| fs::create_dir(dir).is_ok()).find(|dir| {
            let usable = dir.join("cgroup.procs").exists();
            if !usable {
                let _ = fs::remove_dir(dir);
            }
            usable
        })?;
        let script = ["--user", "--map-root-user", "--mount", "--pid", "--fork", "sh", "-c", INSIDE];
        // The process of interest is the one that `unshare` forks: it is in the cgroup from its beginning.
        let enter = format!("echo $$ >{}/cgroup.procs && exec unshare \"$@\"", cgroup.display());
        let mut command = Command::new("sh");
        command.args(["-c", &enter, "sh"]).args(script).stdout(Stdio::piped());
        let mut container = Self { process: command.spawn().ok()?, id, cgroup };
        let mut line = String::new();
        BufReader::new(container.process.stdout.take()?).read_line(&mut line).ok()?;
        (line == "ready\n").then_some(container)
    }

    fn pid(&self) -> String {
        let procs = fs::read_to_string(self.cgroup.join("cgroup.procs")).unwrap();
        procs.lines().find(|pid| **pid != self.process.id().to_string()).unwrap().to_owned()
    }

    fn place(&self) -> Vec<String> {
        vec!["running".into(), self.pid(), "0".into(), self.id.clone()]
    }

    fn enter(&self, verb: &[&str]) -> Output {
        helper(&self.place(), verb, b"")
    }

    fn put(&self, to: &str, archive: &[u8]) -> (Option<i32>, String) {
        let done = helper(&self.place(), &["put", to, "0", ""], archive);
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/root{path}", self.pid())).ok()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for pid in fs::read_to_string(self.cgroup.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = Command::new("kill").args(["-9", pid]).status();
        }
        let _ = self.process.wait();
        for _ in 0..50 {
            if fs::remove_dir(&self.cgroup).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

fn helper(place: &[String], verb: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger-enter"));
    command.args(place).arg("--").args(verb);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Numbers of the record, link target, and what follows.
fn record(output: &Output) -> (Vec<u64>, String, Vec<u8>) {
    assert!(output.status.success(), "{output:?}");
    let (length, rest) = output.stdout.split_at(4);
    let (record, rest) = rest.split_at(u32::from_le_bytes(length.try_into().unwrap()) as usize);
    let text = String::from_utf8(record.to_vec()).unwrap();
    let (line, target) = text.split_once('\n').unwrap();
    (line.split(' ').map(|n| n.parse().unwrap()).collect(), target.to_owned(), rest.to_vec())
}

/// `tar -tv`, its columns mode, owner, size, name.
fn listed(archive: &[u8]) -> Vec<String> {
    let mut command = Command::new("tar");
    command.args(["--numeric-owner", "-tvf", "-"]).env("LC_ALL", "C");
    let mut tar = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    tar.stdin.take().unwrap().write_all(archive).unwrap();
    let output = tar.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let columns = |line: &str| {
        let mut words = line.split_whitespace();
        let (mode, owner, size) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        format!("{mode} {owner} {size} {}", words.skip(2).collect::<Vec<_>>().join(" "))
    };
    text.lines().map(columns).collect()
}

fn entry(kind: u8, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    for (field, text) in [(100, "0000755"), (108, "0000000"), (116, "0000000"), (136, "00000000001")] {
        block[field..field + text.len()].copy_from_slice(text.as_bytes());
    }
    block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut bytes = [&block[..], content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

#[test]
fn paths_are_those_of_the_container() {
    let Some(container) = Container::start() else { return };
    let stat = |path: &str| {
        let (numbers, target, _) = record(&container.enter(&["stat", path]));
        (numbers[0], numbers[1], target)
    };
    assert_eq!(stat("/data/file"), (3, 0o100_640, String::new()));
    assert_eq!(stat("/").1 & 0o170_000, 0o040_000);
    assert_eq!((stat("/data/link").1 & 0o170_000, &stat("/data/link").2[..]), (0o120_000, "/data/file"));
    assert_eq!(stat("/data/dangling").2, "/data/nowhere");
    assert_eq!(stat("/data/todir/").1 & 0o170_000, 0o040_000, "a slash at the end follows");
    assert_eq!(stat("/proc").1 & 0o170_000, 0o040_000);
    // In /proc is nothing, and least of all a way out.
    for missing in ["/none", "/data/file2", "/proc/cpuinfo", "/proc/1/root/etc/passwd", "/proc/self/exe", "/proc/1/."] {
        assert_eq!(container.enter(&["stat", missing]).status.code(), Some(2), "{missing}");
    }
    let below_a_file = container.enter(&["stat", "/data/file/x"]);
    assert_eq!(below_a_file.status.code(), Some(3));
    assert_eq!(String::from_utf8_lossy(&below_a_file.stderr), "lstat /data/file/x: not a directory");
}

#[test]
fn another_process_is_never_taken_for_the_container() {
    let Some(container) = Container::start() else { return };
    let [kind, pid, base, id] = container.place().try_into().unwrap();
    let enter = |pid: &str, base: &str, id: &str| {
        let place = [kind.clone(), pid.to_owned(), base.to_owned(), id.to_owned()];
        helper(&place, &["stat", "/"], b"").status.code()
    };
    assert_eq!(enter(&pid, &base, &id), Some(0));
    let own = std::process::id().to_string();
    for (pid, base, id) in
        [("4194305", "0", &id[..]), (&own, "0", &id), (&pid, "100000", &id), (&pid, "0", "ffffffffffff")]
    {
        assert_eq!(enter(pid, base, id), Some(5), "{pid} {base} {id}");
    }
    assert_eq!(enter("../1", &base, &id), Some(1));
    assert_eq!(container.enter(&["remove", "/"]).status.code(), Some(1));
}

#[test]
fn an_archive_is_as_dockerds() {
    let Some(container) = Container::start() else { return };
    let get = |path: &str| listed(&record(&container.enter(&["get", path])).2);
    assert_eq!(get("/data/file"), ["-rw-r----- 0/0 3 file"]);
    assert_eq!(get("/data/link"), ["lrwxrwxrwx 0/0 0 link -> ../../../../data/file"]);
    assert_eq!(get("/data/todir/."), ["drwxr-xr-x 0/0 0 ./", "-rw-r--r-- 0/0 3 ./inner"]);
    let expected = [
        "drwxr-xr-x 0/0 0 data/",
        "lrwxrwxrwx 0/0 0 data/dangling -> nowhere",
        "drwxr-xr-x 0/0 0 data/dir/",
        "-rw-r--r-- 0/0 3 data/dir/inner",
        "-rw-r----- 0/0 3 data/file",
        "hrw-r----- 0/0 0 data/hard link to data/file",
        "lrwxrwxrwx 0/0 0 data/link -> ../../../../data/file",
        "-rw-r--r-- 0/0 0 data/odd\\377\\033",
        "prw-r--r-- 0/0 0 data/pipe",
        "lrwxrwxrwx 0/0 0 data/todir -> dir",
    ];
    assert_eq!(get("/data"), expected);
    // The pseudo file system is an empty directory in it, and no part of an export at all.
    assert!(get("/").iter().filter(|line| line.contains("proc")).eq(["dr-xr-xr-x 0/0 0 /proc/"].iter()));
    let export = listed(&container.enter(&["export"]).stdout);
    assert!(export.contains(&"-rw-r----- 0/0 3 data/file".to_owned()), "{export:?}");
    assert!(export.iter().filter(|line| line.contains("proc")).eq(["drwxr-xr-x 0/0 0 proc/"].iter()), "{export:?}");
}

#[test]
fn an_archive_is_unpacked_where_it_belongs() {
    let Some(container) = Container::start() else { return };
    let both =
        [entry(b'0', "new/deep/a", "", b"1"), entry(b'0', "/abs", "", b"2"), entry(b'5', "dir", "", b"")].concat();
    assert_eq!(container.put("/data", &both), (Some(0), String::new()));
    let read = |path: &str| container.read(path).unwrap_or_default();
    assert_eq!(
        (&read("/data/new/deep/a")[..], &read("/data/abs")[..], &read("/data/dir/inner")[..]),
        ("1", "2", "in\n")
    );
    // Through links, as they are inside.
    let through = [entry(b'2', "l", "/etc", b""), entry(b'0', "l/probe", "", b"3")].concat();
    assert_eq!(container.put("/tmp", &through).0, Some(0));
    assert_eq!(read("/etc/probe"), "3");
    assert!(!Path::new("/etc/probe").exists());
    // A link in the way of a directory or a file is replaced, never followed.
    let replaced =
        [entry(b'5', "l", "", b""), entry(b'2', "m", "/etc/passwd", b""), entry(b'0', "m", "", b"4")].concat();
    assert_eq!(container.put("/tmp", &replaced).0, Some(0));
    assert_eq!((&read("/etc/passwd")[..], &read("/tmp/m")[..]), ("marker\n", "4"));
    let linked =
        [entry(b'0', "one", "", b"5"), entry(b'1', "two", "one", b""), entry(b'0', ".wh.one", "", b"6")].concat();
    assert_eq!(container.put("/tmp", &linked).0, Some(0));
    assert_eq!((&read("/tmp/one")[..], &read("/tmp/two")[..], &read("/tmp/.wh.one")[..]), ("5", "5", "6"));
    assert_eq!(container.put("/tmp", b""), (Some(0), String::new()));
}

#[test]
fn a_hostile_archive_is_refused() {
    let Some(container) = Container::start() else { return };
    let cases: [(Vec<u8>, i32, &str); 9] = [
        (entry(b'0', "../x", "", b"1"), 3, "\"../x\" is outside of \"/tmp\""),
        (entry(b'0', "a/../../x", "", b"1"), 3, "is outside of"),
        (entry(b'2', "s", "../../x", b""), 3, "invalid symlink \"/tmp/s\" -> \"../../x\""),
        (entry(b'1', "h", "../etc/passwd", b""), 3, "invalid hardlink"),
        (entry(b'1', "h", "none", b""), 3, "link /tmp/h: no such file or directory"),
        (entry(b'3', "mem", "", b""), 4, "device files are not permitted in an archive (policy E08)"),
        (entry(b'4', "sda", "", b""), 4, "policy E08"),
        (entry(b'Z', "z", "", b""), 3, "unhandled tar header type 90"),
        (entry(b'0', "cut", "", &[1; 2000])[..700].to_vec(), 3, "unexpected EOF"),
    ];
    for (archive, code, text) in cases {
        let (got, err) = container.put("/tmp", &archive);
        assert!(got == Some(code) && err.contains(text), "{got:?} {err}: {code} {text}");
    }
    assert_eq!(container.put("/tmp/none", b"").0, Some(2));
    assert_eq!(container.put("/proc/sys", &entry(b'0', "x", "", b"1")).0, Some(2));
    assert_eq!(container.put("/data/file", b""), (Some(3), "extraction point is not a directory".into()));
    let over = entry(b'0', "dir", "", b"1");
    let refused = helper(&container.place(), &["put", "/data", "1", ""], &over);
    let text = "cannot overwrite directory \"/data/dir\" with non-directory \"/data\"";
    assert_eq!(String::from_utf8_lossy(&refused.stderr), text);
    assert_eq!(container.put("/data", &over).0, Some(0), "without the wish, a directory goes with all that is in it");
    assert_eq!(container.read("/data/dir").unwrap(), "1");
}

/// Directories of an overlay, gone with the value.
struct Layers(PathBuf);

impl Layers {
    fn new(name: &str) -> Option<Self> {
        let dir = PathBuf::from(format!("/var/tmp/wharfinger-enter-{name}-{}", std::process::id()));
        for name in ["lower1", "lower2", "upper", "work", "at"] {
            fs::create_dir_all(dir.join(name)).ok()?;
        }
        Some(Self(dir))
    }

    /// Runs `script` in the root of the overlay.
    fn change(&self, script: &str) -> bool {
        let options = "lowerdir=lower2:lower1,upperdir=upper,workdir=work";
        let script = format!("mount -t overlay -o {options} none at && cd at && {script}");
        let mut command = Command::new("unshare");
        command.current_dir(&self.0).args(["--mount", "sh", "-ec", &script]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn changes_are_dockerds() {
    let Some(layers) = Layers::new("changes") else { return };
    let lower = |path: &str| {
        let path = layers.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "old").unwrap();
    };
    let files = ["bin/yes", "etc/passwd", "srv/d/x", "srv/d/y", "root/r", "opt/a/b/c", "usr/f", "var/t/q"];
    files.iter().for_each(|path| lower(&format!("lower1/{path}")));
    lower("lower2/usr/g");
    let script = "rm bin/yes; touch etc/passwd; rm -r srv/d; mkdir srv/d; echo 1 >srv/d/x; chmod 700 root; mkdir new; \
                  echo 1 >new/f; rm -r opt; echo 1 >opt; chmod 644 usr/f; rm -r var/t; mkdir proc dev; : >etc/hosts";
    if !layers.change(script) {
        return;
    }
    let place = ["layers", &layers.path("at"), &layers.path("upper"), &layers.path(""), "lower2:lower1"];
    let output = helper(&place.map(String::from), &["changes"], b"");
    assert!(output.status.success(), "{output:?}");
    let got: Vec<&str> = output.stdout.split(|b| *b == 0).map(|p| std::str::from_utf8(p).unwrap()).collect();
    let expected = "C/bin D/bin/yes C/etc C/etc/passwd A/new A/new/f C/opt C/root C/srv C/srv/d C/srv/d/x D/srv/d/y C/var D/var/t ";
    assert_eq!(got.join(" "), expected);
}

#[test]
fn a_root_is_mounted_for_the_call_alone() {
    let Some(layers) = Layers::new("still") else { return };
    fs::create_dir_all(layers.0.join("lower1/etc")).unwrap();
    fs::write(layers.0.join("lower1/etc/hosts"), "").unwrap();
    fs::write(layers.0.join("lower1/old"), "old").unwrap();
    fs::write(layers.0.join("hosts"), "own").unwrap();
    let Some(container) = Container::start() else { return };
    let user_ns = format!("/proc/{}/ns/user", container.pid());
    let place = |options: &str, access: &str| {
        let (at, dir, hosts) = (layers.path("at"), layers.path(""), layers.path("hosts"));
        let words = ["still", &user_ns, &at, "overlay", &dir, options, access, "bind", &hosts, "/etc/hosts", access];
        words.map(String::from).to_vec()
    };
    let writer = place("lowerdir=lower2:lower1,upperdir=upper,workdir=work", "rw");
    let put = |name: &str| {
        let done = helper(&writer, &["put", "/etc", "0", ""], &entry(b'0', name, "", b"new"));
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    assert_eq!(put("motd"), (Some(0), String::new()));
    assert_eq!(fs::read_to_string(layers.0.join("upper/etc/motd")).unwrap(), "new");
    assert_eq!(put("hosts"), (Some(3), "unlinkat /etc/hosts: device or resource busy".into()));
    let reader = place("lowerdir=upper:lower2:lower1", "ro");
    assert_eq!(record(&helper(&reader, &["stat", "/etc/hosts"], b"")).0[0], 3, "what is bound there");
    let refused = helper(&reader, &["put", "/", "0", ""], b"");
    assert_eq!(refused.status.code(), Some(4));
    assert_eq!(String::from_utf8_lossy(&refused.stderr), "container rootfs is marked read-only");
    let export = listed(&helper(&reader, &["export"], b"").stdout);
    let names: Vec<&str> = export.iter().filter_map(|line| line.split(' ').next_back()).collect();
    assert_eq!(names, ["etc/", "etc/hosts", "etc/motd", "old"]);
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&layers.path("at")));
}
