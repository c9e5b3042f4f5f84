//! What goes over the wires: frames of a network namespace, those inside VXLAN packets with their network's number.
//!
//! A raw socket in Python (which the tests need anyway) rather than in Rust, where it takes `unsafe`; tcpdump would have to
//! be parsed as well.

use std::{
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    path::Path,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use crate::{checker::inside, system::python};

/// One line for each frame of IPv4 or ARP: interface, VNI (0 outside of VXLAN), from, to, length of the IPv4 packet.
/// 17: AF_PACKET; 3: SOCK_RAW, ETH_P_ALL; 33: SO_RCVBUFFORCE; 263, 1, 1: SOL_PACKET, PACKET_ADD_MEMBERSHIP,
/// PACKET_MR_PROMISC, or a bridge shows nothing but its own.
const READER: &str = r#"
import select, socket, struct, sys
def address(b): return ".".join(map(str, b))
def tell(interface, vni, f):
    if f[12:14] == b"\x08\x06":
        print(interface, vni, address(f[28:32]), address(f[38:42]), 0)
    elif f[12:14] == b"\x08\x00":
        udp = 14 + 4 * (f[14] & 15)
        if f[23] == 17 and f[udp + 2:udp + 4] == b"\x12\xb5":
            return tell(interface, int.from_bytes(f[udp + 12:udp + 15], "big"), f[udp + 16:])
        print(interface, vni, address(f[26:30]), address(f[30:34]), int.from_bytes(f[16:18], "big"))
sockets = []
for _, name in socket.if_nameindex():
    if sys.argv[1:] and name not in sys.argv[1:]: continue
    s = socket.socket(17, 3, 0)
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
    s.setsockopt(263, 1, struct.pack("iHH8s", socket.if_nametoindex(name), 1, 0, b""))
    s.bind((name, 3))
    sockets.append(s)
print("ready", flush=True)
while True:
    for s in select.select(sockets, [], [])[0]:
        frame, at = s.recvfrom(65535)
        tell(at[0], 0, frame)
    sys.stdout.flush()
"#;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) interface: String,
    /// 0: not in VXLAN.
    pub(crate) vni: u64,
    pub(crate) from: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
    /// Of the IPv4 packet; 0: ARP.
    pub(crate) length: u32,
}

impl Frame {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        Some(Self {
            interface: words.next()?.to_owned(),
            vni: words.next()?.parse().ok()?,
            from: words.next()?.parse().ok()?,
            to: words.next()?.parse().ok()?,
            length: words.next()?.parse().ok()?,
        })
    }

    /// Sent by `address`, or for it.
    pub(crate) fn is_of(&self, address: Ipv4Addr) -> bool {
        self.from == address || self.to == address
    }
}

/// Ends with its value.
pub(crate) struct Capture {
    reader: Child,
    lines: Receiver<String>,
}

impl Capture {
    /// Of these interfaces of the namespace, or of all.
    pub(crate) fn start(netns: &Path, interfaces: &[String]) -> Self {
        let mut command = inside(netns, &python());
        command.args(["-c", READER]).args(interfaces).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut reader = command.spawn().expect("nsenter runs");
        let (sender, lines) = channel();
        let output = BufReader::new(reader.stdout.take().expect("piped"));
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let capture = Self { reader, lines };
        let first = capture.lines.recv_timeout(Duration::from_secs(10));
        assert_eq!(first.as_deref(), Ok("ready"), "the reader in {} starts", netns.display());
        capture
    }

    /// What was seen up to now.
    pub(crate) fn end(self) -> Vec<Frame> {
        // The last ones may be on their way.
        std::thread::sleep(Duration::from_millis(500));
        self.lines.try_iter().map(|line| Frame::parse(&line).unwrap_or_else(|| panic!("{line}"))).collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.reader.kill();
        let _ = self.reader.wait();
    }
}
