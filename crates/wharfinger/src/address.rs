//! Chooses the underlay's addresses: a /24 of 10/8 that the machine does not use.

use std::net::{IpAddr, Ipv4Addr};

use domain::{Error, Result};
use ipnet::Ipv4Net;
use serde::Deserialize;

use crate::{layout::Layout, tool};

/// Wider routes (a corporate 10.0.0.0/8 by way of a gateway) don't count: our /24 wins over them, and something of 10/8
/// must be taken.
const NARROW_BITS: u8 = 16;
const CANDIDATES: u32 = 32 * 256;

#[derive(Deserialize)]
struct Route {
    dst: String,
}

/// A free subnet; the same data directory tries the same ones in the same order.
pub(crate) async fn choose(layout: &Layout) -> Result<Ipv4Net> {
    let json = tool::run("ip", &["-4", "-j", "route", "show", "table", "all"]).await?;
    let routes: Vec<Route> = serde_json::from_str(&json).map_err(|e| Error::because("reading routes", e))?;
    let mut taken: Vec<Ipv4Net> =
        routes.iter().filter_map(|r| net(&r.dst)).filter(|n| n.prefix_len() >= NARROW_BITS).collect();
    taken.extend(resolvers().into_iter().map(Ipv4Net::from));
    let start = u32::from_str_radix(&layout.instance, 16).unwrap_or(0);
    (0..CANDIDATES)
        .map(|n| candidate(start.wrapping_add(n)))
        .find(|c| !taken.iter().any(|t| t.contains(c) || c.contains(t)))
        .ok_or_else(|| Error::internal("no free /24 between 10.88.0.0 and 10.119.255.0 for the underlay"))
}

/// 10.88.0.0/24 ... 10.119.255.0/24.
fn candidate(number: u32) -> Ipv4Net {
    let number = number % CANDIDATES;
    Ipv4Net::new_assert(Ipv4Addr::new(10, 88 + (number / 256) as u8, (number % 256) as u8, 0), 24)
}

fn net(text: &str) -> Option<Ipv4Net> {
    text.parse().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from))
}

/// The machine's name servers that another network namespace can reach too. systemd-resolved's stub cannot be, so its
/// upstreams are read in that case.
pub(crate) fn resolvers() -> Vec<Ipv4Addr> {
    let read = |path| nameservers(&std::fs::read_to_string(path).unwrap_or_default());
    let usable = read("/etc/resolv.conf");
    if usable.is_empty() { read("/run/systemd/resolve/resolv.conf") } else { usable }
}

fn nameservers(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let words = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    words
        .filter_map(|w| w.parse::<IpAddr>().ok())
        .filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None })
        .filter(|ip| !ip.is_loopback())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_stay_in_their_range_and_are_all_different() {
        let all: std::collections::BTreeSet<Ipv4Net> = (0..CANDIDATES).map(candidate).collect();
        assert_eq!(all.len(), CANDIDATES as usize);
        assert_eq!(all.first().unwrap().to_string(), "10.88.0.0/24");
        assert_eq!(all.last().unwrap().to_string(), "10.119.255.0/24");
    }

    #[test]
    fn stub_resolvers_on_loopback_are_left_out() {
        let text = "# c\nsearch x\nnameserver 127.0.0.53\nnameserver  192.0.2.1\nnameserver fe80::1\n";
        assert_eq!(nameservers(text), [Ipv4Addr::new(192, 0, 2, 1)]);
    }
}
