//! The loop: output to segments, positions to followers.
//!
//! stdout and stderr are read in turns, so neither starves. The socket listens before fd 5 is closed, so that whoever
//! started the task can connect without a retry.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use crate::{args::Args, followers::Followers, record::Kind, segments::Segments, sys};

/// What one read takes. Larger reads leave the first-level caches and cost a third more.
const READ_BYTES: usize = 64 << 10;
/// For this long after the start, what a follower that is about to connect will want is kept.
const GRACE: Duration = Duration::from_secs(2);
/// How often held-back segments are looked at again while nothing else happens.
const RECHECK_MS: i32 = 500;

struct Pump<'a> {
    /// None once it is at its end.
    streams: [Option<(&'a File, Kind)>; 2],
    segments: Segments,
    followers: Followers,
    started: Instant,
    first_segment: u64,
}

/// Until both streams are at their end (of a terminal: stdout).
pub(crate) fn run(args: &Args, stdout: &File, stderr: &File, ready: File) {
    let segments = Segments::open(&args.dir, args.max_bytes, args.max_files);
    let followers = Followers::listen(&args.socket);
    drop(ready);
    let stderr = (!args.tty).then_some((stderr, Kind::Stderr));
    let mut pump = Pump {
        streams: [Some((stdout, Kind::Stdout)), stderr],
        first_segment: segments.position().segment,
        segments,
        followers,
        started: Instant::now(),
    };
    // A record fits into a segment, so that small limits hold.
    let most = usize::try_from(args.max_bytes).unwrap_or(usize::MAX).min(READ_BYTES);
    let mut bytes = vec![0; most];
    while pump.streams.iter().any(Option::is_some) {
        pump.turn(&mut bytes);
    }
    pump.segments.append(Kind::End, &[]);
    pump.followers.wake(pump.segments.position());
    // A run shorter than the grace for newcomers leaves no more behind than a long one; who is connected keeps its part.
    pump.segments.prune(pump.followers.oldest(), pump.followers.oldest_lossless());
}

impl Pump<'_> {
    fn turn(&mut self, bytes: &mut [u8]) {
        let lossless = self.followers.oldest_lossless();
        let pressed = self.segments.is_pressed(lossless);
        // A pipe without writers is read also then: what it holds is little, and the shim waits for us.
        let events = if pressed { 0 } else { libc::POLLIN };
        let fds = self.streams.iter().map(|s| s.map_or(-1, |(file, _)| file.as_raw_fd()));
        let mut fds: Vec<_> = fds.map(|fd| libc::pollfd { fd, events, revents: 0 }).collect();
        self.followers.poll_fds(&mut fds);
        let timeout_ms = if self.segments.has_surplus() { RECHECK_MS } else { -1 };
        if sys::poll(&mut fds, timeout_ms).is_err() {
            std::thread::sleep(Duration::from_millis(10)); // out of kernel memory; it passes
            return;
        }
        let (streams, followers) = fds.split_at(self.streams.len());
        for (index, _) in streams.iter().enumerate().filter(|(_, fd)| fd.revents != 0) {
            self.take(index, bytes);
        }
        self.tend(followers);
    }

    fn take(&mut self, index: usize, bytes: &mut [u8]) {
        let Some(slot) = self.streams.get_mut(index) else { return };
        let Some((mut file, kind)) = *slot else { return };
        match file.read(bytes) {
            Ok(0) => *slot = None,
            Ok(n) => self.segments.append(kind, bytes.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == ErrorKind::Interrupted || e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => *slot = None,
        }
    }

    fn tend(&mut self, fds: &[libc::pollfd]) {
        let end = self.segments.position();
        self.followers.serve(fds, end);
        self.followers.wake(end);
        if self.segments.has_surplus() {
            self.followers.cut_stalled(end);
            let newcomer = (self.started.elapsed() < GRACE).then_some(self.first_segment);
            let wanted = [self.followers.oldest(), newcomer].into_iter().flatten().min();
            self.segments.prune(wanted, self.followers.oldest_lossless());
        }
    }
}
