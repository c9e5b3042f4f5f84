//! The socket: tells those who read the segments that there is more, and learns what they still need.
//!
//! Both directions carry fixed little endian messages. We send 16 bytes, `segment, offset`: up to there everything is
//! whole. A follower sends 24 bytes, `segment, offset, lossless`: it has read up to there, and wants one answer once
//! there is more (at once, if there is already). The first message from us comes unasked, at connect. So each side has
//! at most one message under way, and neither can block the other.

use std::{
    io::{self, Read, Write},
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    time::{Duration, Instant},
};

use crate::segments::Position;

/// A follower that stays behind this long without progress is cut.
const STALL: Duration = Duration::from_secs(60);
const MESSAGE: usize = 24;

/// One reader of the segments.
struct Follower {
    stream: UnixStream,
    inbox: [u8; MESSAGE],
    filled: usize,
    /// It has read up to here; everything is needed until it says otherwise.
    at: Position,
    /// Losing a byte would be worse than holding up the container (attach, as opposed to logs).
    lossless: bool,
    /// Waits for an answer.
    asking: bool,
    heard: Instant,
}

/// The listener and all who are connected.
pub(crate) struct Followers {
    listener: Option<UnixListener>,
    all: Vec<Follower>,
}

impl Followers {
    /// Binds in the socket's directory, since the full path may be longer than a socket address can be.
    pub(crate) fn listen(path: &Path) -> Self {
        let listener = bind(path).ok();
        Self { listener, all: Vec::new() }
    }

    pub(crate) fn poll_fds(&self, fds: &mut Vec<libc::pollfd>) {
        let listener = self.listener.iter().map(AsRawFd::as_raw_fd);
        let streams = self.all.iter().map(|f| f.stream.as_raw_fd());
        fds.extend(listener.chain(streams).map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }));
    }

    /// `fds` as `poll_fds` made them.
    pub(crate) fn serve(&mut self, fds: &[libc::pollfd], end: Position) {
        let mut ready = fds.iter().map(|fd| fd.revents != 0);
        let accept = self.listener.is_some() && ready.next().unwrap_or(false);
        self.all.retain_mut(|f| !ready.next().unwrap_or(false) || f.hear().is_ok());
        if accept {
            self.accept(end);
        }
    }

    /// Answers those who wait, if there is more than they have.
    pub(crate) fn wake(&mut self, end: Position) {
        self.all.retain_mut(|f| !(f.asking && f.at < end) || f.tell(end).is_ok());
    }

    /// Cuts those who stand still although there is more.
    pub(crate) fn cut_stalled(&mut self, end: Position) {
        self.all.retain(|f| f.at >= end || f.heard.elapsed() < STALL);
    }

    /// The oldest segment that anyone reads.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.all.iter().map(|f| f.at.segment).min()
    }

    /// The oldest segment that someone reads who must not miss a byte.
    pub(crate) fn oldest_lossless(&self) -> Option<u64> {
        self.all.iter().filter(|f| f.lossless).map(|f| f.at.segment).min()
    }

    fn accept(&mut self, end: Position) {
        let Some(listener) = &self.listener else { return };
        match listener.accept() {
            Ok((stream, _)) => {
                let mut follower = Follower::new(stream);
                if follower.stream.set_nonblocking(true).is_ok() && follower.tell(end).is_ok() {
                    self.all.push(follower);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::Interrupted => {}
            // Out of descriptors: without a pause this would spin.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

impl Follower {
    fn new(stream: UnixStream) -> Self {
        let at = Position { segment: 0, offset: 0 };
        Self { stream, inbox: [0; MESSAGE], filled: 0, at, lossless: false, asking: true, heard: Instant::now() }
    }

    fn tell(&mut self, end: Position) -> io::Result<()> {
        let mut message = [0; 16];
        let (segment, offset) = message.split_at_mut(8);
        segment.copy_from_slice(&end.segment.to_le_bytes());
        offset.copy_from_slice(&end.offset.to_le_bytes());
        self.asking = false;
        self.heard = Instant::now();
        self.stream.write_all(&message)
    }

    fn hear(&mut self) -> io::Result<()> {
        let Some(room) = self.inbox.get_mut(self.filled..) else { return Err(io::ErrorKind::InvalidData.into()) };
        match self.stream.read(room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => self.filled += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if self.filled == MESSAGE {
            self.filled = 0;
            self.take_message();
        }
        Ok(())
    }

    fn take_message(&mut self) {
        let [segment, offset, lossless] = [0, 8, 16].map(|from| {
            let bytes = self.inbox.get(from..from + 8).and_then(|b| b.try_into().ok());
            bytes.map_or(0, u64::from_le_bytes)
        });
        self.at = Position { segment, offset };
        self.lossless = lossless == 1;
        self.asking = true;
        self.heard = Instant::now();
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    std::fs::create_dir_all(dir)?;
    std::env::set_current_dir(dir)?;
    let _ = std::fs::remove_file(name);
    let listener = UnixListener::bind(name)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
