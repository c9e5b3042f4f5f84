//! 127.0.0.11:53 of a container leads to the agent's sockets on a port of the agent's choice.
//!
//! Port 53 itself stays free for the container. The rules hold the port, so an agent that restarts must listen on the
//! same one, or load them again ([`load_here`] replaces what is there, in one transaction).

use std::io;

use crate::network::nftables::{Attributes, Batch, FAMILY_IPV4, Nftables, Verb};

const TABLE: &str = "wharfinger-dns";
const ADDRESS: [u8; 4] = [127, 0, 0, 11];
const DNS: u16 = 53;

/// Redirects DNS in the calling thread's namespace to 127.0.0.11:`port`, UDP and TCP.
pub(super) fn load_here(nft: &Nftables, port: u16) -> io::Result<()> {
    let table = || Attributes::new().text(1, TABLE);
    let mut batch = Batch::new()
        .push(Verb::NewTable, FAMILY_IPV4, table())
        .push(Verb::DeleteTable, FAMILY_IPV4, table())
        .push(Verb::NewTable, FAMILY_IPV4, table())
        .push(Verb::NewChain, FAMILY_IPV4, chain("out", 3, -100))
        .push(Verb::NewChain, FAMILY_IPV4, chain("post", 4, 100));
    for protocol in [libc::IPPROTO_UDP as u8, libc::IPPROTO_TCP as u8] {
        let there = Redirect { address_at: 16, port_at: 2, from: DNS, to: port, nat: 1 };
        let back = Redirect { address_at: 12, port_at: 0, from: port, to: DNS, nat: 0 };
        batch = batch.push(Verb::NewRule, FAMILY_IPV4, there.rule("out", protocol));
        batch = batch.push(Verb::NewRule, FAMILY_IPV4, back.rule("post", protocol));
    }
    nft.commit(batch)
}

/// A nat chain: hook 3 is output, 4 is postrouting.
fn chain(name: &str, hook: u32, priority: i32) -> Attributes {
    let hook = Attributes::new().number(1, hook).number(2, priority as u32);
    Attributes::new().text(1, TABLE).text(3, name).nest(4, hook).text(7, "nat")
}

/// Offsets into the IPv4 and the transport header, and `nat`: 1 for the destination, 0 for the source.
struct Redirect {
    address_at: u32,
    port_at: u32,
    from: u16,
    to: u16,
    nat: u32,
}

impl Redirect {
    /// `ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:port`, and its mirror.
    fn rule(&self, chain: &str, protocol: u8) -> Attributes {
        let expressions = [
            payload(1, self.address_at, 4),
            equal(&ADDRESS),
            expression("meta", Attributes::new().number(1, 1).number(2, 16)), // l4proto
            equal(&[protocol]),
            payload(2, self.port_at, 2),
            equal(&self.from.to_be_bytes()),
            immediate(1, &ADDRESS),
            immediate(2, &self.to.to_be_bytes()),
            expression("nat", Attributes::new().number(1, self.nat).number(2, 2).number(3, 1).number(5, 2)),
        ];
        let list = expressions.into_iter().fold(Attributes::new(), |list, e| list.nest(1, e));
        Attributes::new().text(1, TABLE).text(2, chain).nest(4, list)
    }
}

fn expression(name: &str, data: Attributes) -> Attributes {
    Attributes::new().text(1, name).nest(2, data)
}

/// Loads into register 1; header 1 is the network's, 2 the transport's.
fn payload(header: u32, offset: u32, length: u32) -> Attributes {
    expression("payload", Attributes::new().number(1, 1).number(2, header).number(3, offset).number(4, length))
}

/// Goes on only if register 1 holds `value`.
fn equal(value: &[u8]) -> Attributes {
    let data = Attributes::new().bytes(1, value);
    expression("cmp", Attributes::new().number(1, 1).number(2, 0).nest(3, data))
}

fn immediate(register: u32, value: &[u8]) -> Attributes {
    let data = Attributes::new().bytes(1, value);
    expression("immediate", Attributes::new().number(1, register).nest(2, data))
}
