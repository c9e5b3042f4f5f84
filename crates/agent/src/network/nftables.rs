//! nf_tables, in two ways: whole rulesets by `nft` where they are set once, raw netlink where a start waits for it.
//!
//! One `nft` process costs 5 ms, a raw batch 0.1 ms. The raw part knows just the messages that the hot path needs (the
//! DNS redirection of a container, an element of a set). A batch is a transaction: all of it or nothing.
//! Numbers are from linux/netfilter/nf_tables.h and nfnetlink.h; everything in attributes is big-endian.

use std::{
    io::{self, Write},
    os::fd::{AsRawFd, OwnedFd},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use domain::{Error, Result};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

pub(crate) const FAMILY_IPV4: u8 = 2;
pub(crate) const FAMILY_BRIDGE: u8 = 7;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NESTED: u16 = 0x8000;

/// `NFT_MSG_*`.
#[derive(Clone, Copy)]
pub(crate) enum Verb {
    NewTable = 0,
    DeleteTable = 2,
    NewChain = 3,
    NewRule = 6,
    NewElement = 12,
    DeleteElement = 14,
}

/// Loads a ruleset with nft(8) into the calling thread's namespace.
pub(crate) fn load_here(ruleset: &str) -> Result<()> {
    nft(&["-f", "-"], ruleset).map(drop)
}

/// The plain elements of a set of IPv4 in the calling thread's namespace.
pub(crate) fn elements_here(table: &str, set: &str) -> Result<Vec<String>> {
    let answer = nft(&["-j", "list", "set", "ip", table, set], "")?;
    let answer: serde_json::Value = serde_json::from_str(&answer).map_err(|e| Error::because("nft's JSON", e))?;
    let objects = answer["nftables"].as_array().into_iter().flatten();
    let elements = objects.filter_map(|object| object["set"]["elem"].as_array()).flatten();
    Ok(elements.filter_map(|element| element.as_str().map(ToOwned::to_owned)).collect())
}

/// What `nft` says, with `commands` on its stdin.
fn nft(options: &[&str], commands: &str) -> Result<String> {
    let run = || -> io::Result<std::process::Output> {
        let mut nft = Command::new("nft")
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = nft.stdin.take() {
            stdin.write_all(commands.as_bytes())?;
        }
        nft.wait_with_output()
    };
    let output = run().map_err(|e| Error::because("run nft", e))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::internal(format!("nft: {}\n{commands}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// A netfilter socket; it belongs to the namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Nftables(Mutex<OwnedFd>);

impl Nftables {
    /// Opens one in the calling thread's namespace.
    pub(crate) fn open_here() -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)
            .map(|fd| Self(Mutex::new(fd)))
            .map_err(|e| Error::because("netfilter socket", e))
    }

    /// Runs the transaction. The kernel works inside `send`, and the first answer tells of a failure, if there is one.
    pub(crate) fn commit(&self, batch: Batch) -> io::Result<()> {
        let bytes = batch.finish();
        // Two batches at once would read each other's answers.
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = held.as_raw_fd();
        send(socket, &bytes, MsgFlags::empty())?;
        let mut answer = [0u8; 8192];
        let n = recv(socket, &mut answer, MsgFlags::MSG_DONTWAIT)?;
        let code = answer.get(16..20).filter(|_| n >= 20).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
        let first = code.ok_or_else(|| io::Error::other("short netfilter answer"));
        // Empty the socket: a failed batch answers several times.
        while recv(socket, &mut answer, MsgFlags::MSG_DONTWAIT).is_ok() {}
        match first? {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    }
}

/// A transaction in the making.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    last: usize,
}

impl Batch {
    pub(crate) fn new() -> Self {
        let mut batch = Self { bytes: Vec::with_capacity(2048), last: 0 };
        batch.header(BATCH_BEGIN, 0, 0, SUBSYSTEM, &[]);
        batch
    }

    pub(crate) fn push(mut self, verb: Verb, family: u8, attributes: Attributes) -> Self {
        // CREATE, and APPEND for rules (which else go to the front).
        let flags = match verb {
            Verb::NewTable | Verb::NewChain | Verb::NewElement => libc::NLM_F_CREATE,
            Verb::NewRule => libc::NLM_F_CREATE | libc::NLM_F_APPEND,
            Verb::DeleteTable | Verb::DeleteElement => 0,
        };
        self.last = self.bytes.len();
        self.header((SUBSYSTEM << 8) | verb as u16, flags as u16, family, 0, &attributes.0);
        self
    }

    fn header(&mut self, kind: u16, flags: u16, family: u8, resource: u16, payload: &[u8]) {
        let length = (20 + payload.len()) as u32;
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        self.bytes.extend([0; 8]); // sequence and port: one socket, one batch at a time
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(payload);
    }

    /// Asks for one acknowledgement, of the last message.
    fn finish(mut self) -> Vec<u8> {
        if let Some(flags) = self.bytes.get_mut(self.last + 6..self.last + 8) {
            let asked = u16::from_ne_bytes([flags[0], flags[1]]) | libc::NLM_F_ACK as u16;
            flags.copy_from_slice(&asked.to_ne_bytes());
        }
        self.header(BATCH_END, 0, 0, SUBSYSTEM, &[]);
        self.bytes
    }
}

/// Netlink attributes, each padded to four bytes.
#[derive(Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(((4 + value.len()) as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        let mut terminated = value.as_bytes().to_vec();
        terminated.push(0);
        self.bytes(kind, &terminated)
    }

    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn nest(self, kind: u16, inner: Attributes) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// `add element` and `delete element` of one plain key.
pub(crate) fn element(table: &str, set: &str, key: &[u8]) -> Attributes {
    let value = Attributes::new().nest(1, Attributes::new().bytes(1, key));
    Attributes::new().text(1, table).text(2, set).nest(3, Attributes::new().nest(1, value))
}

/// As [`element`], of a map.
pub(crate) fn map_element(table: &str, map: &str, key: &[u8], value: &[u8]) -> Attributes {
    let data = |bytes| Attributes::new().bytes(1, bytes);
    let pair = Attributes::new().nest(1, data(key)).nest(2, data(value));
    Attributes::new().text(1, table).text(2, map).nest(3, Attributes::new().nest(1, pair))
}
