//! Two tenants with the same subnet, the same addresses and the same published port, on the same hosts: each is served its
//! own, and no frame of one is seen in a router of the other, or under the other's number on the underlay.
//!
//! Captures hear everything of these hosts, so tests/run runs this alone. Containers of the same addresses are told apart by
//! the size of their pings, others by their addresses.

use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use crate::{
    capture::{Capture, Frame},
    checker::{Host, vni},
    system::{Tenant, eventually},
};

const SUBNET: &str = "10.88.0.0/24";
const PORT: u16 = 18088;
/// Both tenants have one of each, on h1 and on h2.
const HERE: &str = "10.88.0.11";
const THERE: &str = "10.88.0.12";
/// What an IPv4 and an ICMP header add to the data of a ping.
const HEADERS: u32 = 28;

struct Side {
    t: Tenant,
    text: &'static str,
    /// Data of its pings, in bytes.
    ping: u32,
    /// On h1, and nobody else's.
    own: Ipv4Addr,
    vni: u64,
}

impl Side {
    fn new(text: &'static str, ping: u32, own: &str) -> Self {
        let t = Tenant::new("apart");
        t.docker(&["network", "create", "--subnet", SUBNET, "net"]).ok();
        let serve = format!("while true; do echo {text} | nc -l -p 80; done");
        let publish = format!("{PORT}:80");
        let run = |name: &str, zone: &str, address: &str, options: &[&str], command: &str| {
            let zone = format!("constraint:zone=={zone}");
            let fixed = ["run", "-d", "--name", name, "--network", "net", "--ip", address, "-e", &zone];
            t.docker(&[&fixed, options, &["busybox", "sh", "-c", command]].concat()).ok();
        };
        run("here", "z1", HERE, &["-p", &publish], &serve);
        run("there", "z2", THERE, &[], "exec sleep 1000");
        run("own", "z1", own, &[], "exec sleep 1000");
        let vni = vni(&t.name, "net");
        Self { t, text, ping, own: own.parse().expect("an address"), vni }
    }

    /// Pings between its hosts and within one, from a shared address and from its own.
    fn pings(&self) {
        let size = self.ping.to_string();
        for (from, to) in [("here", THERE), ("own", THERE), ("own", HERE), ("there", HERE), ("there", "own")] {
            self.t.docker(&["exec", from, "ping", "-q", "-c", "5", "-i", "0.2", "-W", "2", "-s", &size, to]).ok();
        }
    }

    /// What its published port says.
    fn answer(&self) -> std::io::Result<String> {
        let address = self.t.address();
        let host = address.rsplit_once(':').expect("a port").0;
        let at: SocketAddr = format!("{host}:{PORT}").parse().expect("an address");
        let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text.trim().to_owned())
    }

    /// Its container's, beyond doubt.
    fn sent(&self, frame: &Frame) -> bool {
        frame.is_of(self.own) || frame.length == HEADERS + self.ping
    }
}

#[test]
fn the_same_subnet_and_the_same_port_of_two_tenants() {
    let (a, b) = (Side::new("alpha", 111, "10.88.0.13"), Side::new("beta", 222, "10.88.0.23"));
    assert_ne!(a.vni, b.vni);
    for side in [&a, &b] {
        eventually(10, side.text, || side.answer().is_ok_and(|text| text == side.text));
    }
    let (h1, h2) = (Host::named("h1"), Host::named("h2"));
    let underlay = Capture::start(Path::new("/proc/self/ns/net"), &[h1.cable(), h2.cable()]);
    let routers: Vec<_> = [(&h1, &a), (&h2, &a), (&h1, &b), (&h2, &b)]
        .into_iter()
        .map(|(host, side)| (host, side, Capture::start(&host.router(side.vni), &[])))
        .collect();

    std::thread::scope(|scope| {
        scope.spawn(|| a.pings());
        scope.spawn(|| b.pings());
        for _ in 0..10 {
            for side in [&a, &b] {
                eventually(5, side.text, || side.answer().is_ok_and(|text| text == side.text));
            }
        }
    });
    // An address that only the other tenant has is nobody's.
    let other = b.own.to_string();
    a.t.docker(&["exec", "own", "ping", "-c", "2", "-W", "1", "-s", "111", &other]).fails_with(1, "");

    let seen = underlay.end();
    for side in [&a, &b] {
        let mine: Vec<&Frame> = seen.iter().filter(|f| f.length == HEADERS + side.ping).collect();
        let stray = mine.iter().find(|f| f.vni != side.vni);
        assert_eq!(stray, None, "{}'s network is {}", side.text, side.vni);
        let stray = seen.iter().find(|f| f.is_of(side.own) && f.vni != side.vni);
        assert_eq!(stray, None, "{}'s network is {}", side.text, side.vni);
        for cable in [h1.cable(), h2.cable()] {
            assert!(mine.iter().filter(|f| f.interface == cable).count() >= 30, "{}'s pings on {cable}", side.text);
        }
    }
    for (host, side, capture) in routers {
        let (seen, other) = (capture.end(), if side.vni == a.vni { &b } else { &a });
        let stray = seen.iter().find(|f| other.sent(f) && !(side.sent(f) && f.is_of(side.own)));
        assert_eq!(stray, None, "{} in a router of {} on {}", other.text, side.text, host.name);
        for interface in ["br0", "vx"] {
            let mine = seen.iter().filter(|f| f.interface == interface && side.sent(f)).count();
            assert!(mine >= 20, "{}'s own pings on {interface} of {}: {mine}", side.text, host.name);
        }
    }
}
