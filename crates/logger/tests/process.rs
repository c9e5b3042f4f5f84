//! The logger as containerd's shim starts it: a process with pipes at fd 3, 4 and 5.

#![allow(unsafe_code, clippy::unwrap_used)] // pipes at fixed numbers; a test may fail

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

const MIB: usize = 1 << 20;

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: an array of two; the descriptors are owned by nobody else.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wharfinger-logger-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Logger {
    child: Child,
    dir: PathBuf,
    socket: PathBuf,
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Logger {
    /// Returns once the logger is ready.
    fn start(root: &Path, options: &str) -> Self {
        let (dir, socket) = (root.join("log"), root.join("run/log.sock"));
        let (out_read, out_write) = pipe();
        let (err_read, err_write) = pipe();
        let (ready_read, ready_write) = pipe();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger-logger"));
        command.arg("dir").arg(&dir).arg("socket").arg(&socket).args(options.split_whitespace());
        let fds = [out_read.as_raw_fd(), err_read.as_raw_fd(), ready_write.as_raw_fd()];
        // SAFETY: only system calls between fork and exec.
        unsafe { command.pre_exec(move || pass(fds)) };
        let child = command.spawn().unwrap();
        drop(ready_write);
        let mut nothing = [0; 1];
        assert_eq!(File::from(ready_read).read(&mut nothing).unwrap(), 0, "ready");
        Self { child, dir, socket, stdout: Some(out_write.into()), stderr: Some(err_write.into()) }
    }

    fn out(&mut self, bytes: &[u8]) {
        self.stdout.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn err(&mut self, bytes: &[u8]) {
        self.stderr.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// The container ends; the logger must, too.
    fn end(mut self) {
        self.stdout.take();
        self.stderr.take();
        assert!(self.exits_within(Duration::from_secs(5)));
    }

    fn exits_within(&mut self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            thread::sleep(Duration::from_millis(2));
        }
        false
    }

    fn follow(&self) -> Follower {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Follower(stream)
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pass(fds: [RawFd; 3]) -> std::io::Result<()> {
    // SAFETY: plain descriptor numbers. First out of the way of 3 to 5, then into place.
    let high = fds.map(|fd| unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 20) });
    for (fd, place) in high.into_iter().zip(3..) {
        // SAFETY: as above.
        if fd < 0 || unsafe { libc::dup2(fd, place) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

struct Follower(UnixStream);

impl Follower {
    fn told(&mut self) -> Option<(u64, u64)> {
        let mut bytes = [0; 16];
        self.0.read_exact(&mut bytes).ok()?;
        let [a, b] = [0, 8].map(|i| u64::from_le_bytes(bytes[i..i + 8].try_into().unwrap()));
        Some((a, b))
    }

    fn tell(&mut self, at: (u64, u64), lossless: bool) {
        let message = [at.0, at.1, u64::from(lossless)].map(u64::to_le_bytes).concat();
        self.0.write_all(&message).unwrap();
    }
}

#[derive(Debug, Default, PartialEq)]
struct Log {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    ends: usize,
    lost_bytes: u64,
    records: usize,
}

fn segments(dir: &Path) -> Vec<u64> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut numbers: Vec<u64> = names.filter_map(|n| n.strip_suffix(".log")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn read(dir: &Path) -> Log {
    let mut log = Log::default();
    for number in segments(dir) {
        let bytes = fs::read(dir.join(format!("{number:08}.log"))).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let len = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            let (record, after) = rest.split_at(16 + len + 4);
            let payload = &record[16..16 + len];
            assert_eq!(record[16 + len..], record[..4], "trailer");
            match record[4] {
                1 => log.stdout.extend(payload),
                2 => log.stderr.extend(payload),
                3 => log.ends += 1,
                4 => log.lost_bytes += u64::from_le_bytes(payload.try_into().unwrap()),
                other => panic!("kind {other}"),
            }
            log.records += 1;
            rest = after;
        }
    }
    log
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 251) as u8 ^ (i % 251) as u8).collect()
}

#[test]
fn both_streams_are_written_and_the_end_is_marked() {
    let scratch = Scratch::new("both");
    let mut logger = Logger::start(&scratch.0, "");
    let dir = logger.dir.clone();
    let big = pattern(3 * MIB);
    logger.out(&big);
    logger.err(b"oops\n");
    logger.out(b"bye\n");
    logger.end();
    let log = read(&dir);
    assert!(log.stdout == [&big[..], b"bye\n"].concat());
    assert_eq!((log.stderr, log.ends, log.lost_bytes), (b"oops\n".to_vec(), 1, 0));
}

#[test]
fn signals_do_not_end_it() {
    let scratch = Scratch::new("signals");
    let mut logger = Logger::start(&scratch.0, "");
    let dir = logger.dir.clone();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
        // SAFETY: our own child.
        unsafe { libc::kill(logger.child.id() as i32, signal) };
    }
    thread::sleep(Duration::from_millis(50));
    logger.out(b"still here\n");
    logger.end();
    assert_eq!(read(&dir).stdout, b"still here\n");
}

#[test]
fn rotation_keeps_the_newest_files() {
    let scratch = Scratch::new("rotate");
    let mut logger = Logger::start(&scratch.0, "max_bytes 10000 max_files 3");
    let dir = logger.dir.clone();
    let all: Vec<u8> = (0..20_000).flat_map(|i| format!("line {i}\n").into_bytes()).collect();
    for part in all.chunks(1000) {
        logger.out(part);
    }
    thread::sleep(Duration::from_millis(2100)); // the grace for followers that are about to come
    logger.out(b"last\n");
    logger.end();
    let files = segments(&dir);
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        assert!(fs::metadata(dir.join(format!("{file:08}.log"))).unwrap().len() <= 10_100);
    }
    let all = [&all[..], b"last\n"].concat();
    let kept = read(&dir).stdout;
    assert!(kept.len() > 10_000 && all.ends_with(&kept));
}

#[test]
fn a_run_shorter_than_the_grace_for_followers_is_pruned_at_its_end() {
    let scratch = Scratch::new("short");
    let mut logger = Logger::start(&scratch.0, "max_bytes 10000 max_files 2");
    let dir = logger.dir.clone();
    for _ in 0..100 {
        logger.out(&[b'x'; 1000]);
    }
    logger.end();
    assert_eq!(segments(&dir).len(), 2);
}

#[test]
fn a_restart_appends_behind_the_last_whole_record() {
    let scratch = Scratch::new("restart");
    let mut logger = Logger::start(&scratch.0, "");
    let dir = logger.dir.clone();
    logger.out(b"one\n");
    logger.end();
    let mut torn = File::options().append(true).open(dir.join("00000001.log")).unwrap();
    torn.write_all(&[100, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, b'x']).unwrap();
    let mut logger = Logger::start(&scratch.0, "");
    logger.out(b"two\n");
    logger.end();
    let log = read(&dir);
    assert_eq!((&log.stdout[..], log.ends), (&b"one\ntwo\n"[..], 2));
    assert_eq!(segments(&dir), [1]);
}

#[test]
fn a_killed_logger_leaves_whole_records() {
    let scratch = Scratch::new("killed");
    let mut logger = Logger::start(&scratch.0, "");
    let dir = logger.dir.clone();
    let mut stdout = logger.stdout.take().unwrap();
    let flood = thread::spawn(move || while stdout.write_all(&pattern(100_000)).is_ok() {});
    thread::sleep(Duration::from_millis(100));
    logger.child.kill().unwrap();
    logger.child.wait().unwrap();
    flood.join().unwrap();
    Logger::start(&scratch.0, "").end();
    let log = read(&dir);
    assert_eq!(log.ends, 1);
    assert!(log.stdout.chunks(100_000).all(|c| pattern(100_000).starts_with(c)));
}

#[test]
fn a_terminal_ends_with_stdout() {
    let scratch = Scratch::new("tty");
    let mut logger = Logger::start(&scratch.0, "tty 1");
    let dir = logger.dir.clone();
    logger.out(b"$ ");
    logger.stdout.take();
    assert!(logger.exits_within(Duration::from_secs(5)), "stderr is still open");
    assert_eq!(read(&dir), Log { stdout: b"$ ".to_vec(), ends: 1, records: 2, ..Log::default() });
}

#[test]
fn followers_are_woken_once_for_each_question() {
    let scratch = Scratch::new("follow");
    let mut logger = Logger::start(&scratch.0, "");
    let mut follower = logger.follow();
    assert_eq!(follower.told(), Some((1, 0)));
    follower.tell((1, 0), false);
    logger.out(b"abc");
    assert_eq!(follower.told(), Some((1, 23)));
    logger.out(b"def");
    thread::sleep(Duration::from_millis(50));
    follower.tell((1, 23), false);
    assert_eq!(follower.told(), Some((1, 46)), "what came meanwhile is told at once");
    follower.tell((1, 46), false);
    logger.end();
    assert_eq!(follower.told(), Some((1, 66)), "the end-of-run record");
    assert_eq!(follower.told(), None);
}

#[test]
fn a_follower_that_dies_or_talks_rubbish_harms_nobody() {
    let scratch = Scratch::new("dies");
    let mut logger = Logger::start(&scratch.0, "");
    let dir = logger.dir.clone();
    let (mut rubbish, dies) = (logger.follow(), logger.follow());
    drop(dies);
    let _ = rubbish.0.write_all(&[0xff; 1000]);
    for _ in 0..300 {
        let mut follower = logger.follow();
        follower.told();
    }
    let mut good = logger.follow();
    good.told();
    good.tell((1, 0), false);
    logger.out(b"fine\n");
    assert_eq!(good.told(), Some((1, 25)));
    logger.end();
    assert_eq!(read(&dir).stdout, b"fine\n");
}

#[test]
fn a_lossless_follower_holds_segments_and_then_the_container() {
    let scratch = Scratch::new("lossless");
    let mut logger = Logger::start(&scratch.0, "max_bytes 1048576 max_files 2");
    let dir = logger.dir.clone();
    let mut follower = logger.follow();
    follower.told();
    follower.tell((1, 0), true);
    let mut stdout = logger.stdout.take().unwrap();
    let writer = thread::spawn(move || {
        let mib = pattern(MIB);
        (0..100).for_each(|_| stdout.write_all(&mib).unwrap());
    });
    thread::sleep(Duration::from_secs(3));
    assert!(!writer.is_finished(), "100 MiB do not fit into the ring and 64 MiB");
    assert_eq!(segments(&dir)[0], 1, "nothing that it needs is gone");
    let mut at = 0;
    while !writer.is_finished() {
        let (end, _) = follower.told().unwrap();
        assert!(segments(&dir)[0] <= at + 1, "at {at}");
        at = end.min(at + 5);
        follower.tell((at, 0), true);
    }
    writer.join().unwrap();
    drop(follower);
    logger.stderr.take();
    assert!(logger.exits_within(Duration::from_secs(10)));
}

#[test]
fn a_container_that_ended_is_not_held() {
    let scratch = Scratch::new("ended");
    let mut logger = Logger::start(&scratch.0, "max_bytes 1048576 max_files 2");
    let mut follower = logger.follow();
    follower.told();
    follower.tell((1, 0), true);
    let mut stdout = logger.stdout.take().unwrap();
    let writer = thread::spawn(move || {
        let mib = pattern(MIB);
        let begun = Instant::now();
        // Until it is held; then it ends with a full pipe.
        while begun.elapsed() < Duration::from_secs(20) {
            for part in mib.chunks(4096) {
                let mut fd = libc::pollfd { fd: stdout.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
                // SAFETY: one descriptor.
                if unsafe { libc::poll(&mut fd, 1, 500) } == 0 {
                    return;
                }
                stdout.write_all(part).unwrap();
            }
        }
    });
    writer.join().unwrap();
    logger.stderr.take();
    assert!(logger.exits_within(Duration::from_secs(2)));
}

#[test]
fn a_reader_of_logs_never_holds_the_container() {
    let scratch = Scratch::new("lossy");
    let mut logger = Logger::start(&scratch.0, "max_bytes 1048576 max_files 2");
    let dir = logger.dir.clone();
    let mut follower = logger.follow();
    follower.told();
    follower.tell((1, 0), false);
    for _ in 0..30 {
        logger.out(&pattern(MIB));
    }
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(segments(&dir)[0], 1, "kept for the follower");
    for _ in 0..100 {
        logger.out(&pattern(MIB));
    }
    thread::sleep(Duration::from_millis(600));
    assert!(read(&dir).stdout.len() < 68 * MIB, "at most 64 MiB and the ring are kept");
    drop(follower);
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(segments(&dir).len(), 2);
    logger.end();
}

/// A tmpfs of its own, if this user may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(&path).status();
        mounted.is_ok_and(|s| s.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_output_but_not_the_container() {
    let scratch = Scratch::new("full");
    let Some(disk) = SmallDisk::mount(scratch.0.join("log")) else { return };
    fs::write(disk.0.join("ballast"), vec![0; 600_000]).unwrap();
    let mut logger = Logger::start(&scratch.0, "");
    let dir = logger.dir.clone();
    let sent = pattern(2 * MIB);
    logger.out(&sent);
    logger.err(b"lost, too");
    thread::sleep(Duration::from_millis(200));
    fs::remove_file(disk.0.join("ballast")).unwrap();
    logger.out(b"room again\n");
    logger.end();
    let log = read(&dir);
    assert!(log.stdout.ends_with(b"room again\n"));
    assert!(log.lost_bytes > MIB as u64);
    assert_eq!((log.stdout.len() + log.stderr.len()) as u64 + log.lost_bytes, (sent.len() + 9 + 11) as u64);
}

#[test]
fn without_a_directory_the_container_still_lives() {
    let scratch = Scratch::new("nodir");
    fs::write(scratch.0.join("log"), b"in the way").unwrap();
    let mut logger = Logger::start(&scratch.0, "");
    logger.out(&pattern(3 * MIB));
    logger.end();
}

#[test]
fn socket_paths_may_be_long() {
    let scratch = Scratch::new("long");
    let root = scratch.0.join("x".repeat(120));
    fs::create_dir(&root).unwrap();
    let logger = Logger::start(&root, "");
    assert!(logger.socket.exists());
    logger.end();
}
