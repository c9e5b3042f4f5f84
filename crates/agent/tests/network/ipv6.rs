//! Networks with IPv6: their own containers meet, and nobody else; what could mislead others is dropped at the port.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::Path,
};

use domain::EndpointIpv6;
use hickory_proto::rr::RecordType;

use super::{FIRST, Guest, SECOND, greeting_of, on_a_host, plane, reach};
use crate::world::{PORT, ask, greeting, listen, within};

fn address(last: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd12, 0, 0, 0, 0, 0, 0, last.into())
}

fn guest(uid_base: u32, vni: u32, last: u8) -> Guest {
    let mut guest = Guest::new(uid_base, vni, last);
    guest.endpoints[0].ipv6 =
        Some(EndpointIpv6 { subnet: "fd12::/64".parse().unwrap(), gateway: address(1), address: address(last) });
    guest
}

fn serve(net_ns: &Path, greeting: &'static str) {
    within(net_ns, move || listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)), greeting));
}

/// `ip` in the namespace, as nobody but the agent can.
fn ip(net_ns: &Path, words: &'static str) -> String {
    within(net_ns, move || {
        let out = std::process::Command::new("ip").args(words.split(' ')).output().unwrap();
        assert!(out.status.success(), "ip {words}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    })
}

#[test]
fn containers_meet_their_own_and_nobody_else() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        let (one, two, other) = (guest(FIRST, 1001, 2), guest(FIRST, 1001, 3), guest(SECOND, 1002, 4));
        let (one_at, two_at, other_at) = (one.start(&plane).await, two.start(&plane).await, other.start(&plane).await);
        let plain_at = Guest::new(FIRST, 1003, 9).start(&plane).await;
        serve(&two_at.net_ns, "two");
        serve(&other_at.net_ns, "other");
        assert_eq!(greeting_of(&one_at, address(3)).as_deref(), Some("two"));
        assert_eq!(reach(&one_at, address(4)), None, "another tenant's, in the same subnet");
        let seen = ip(&one_at.net_ns, "-6 -o addr show dev eth0");
        assert!(seen.contains("fd12::2/64 scope global nodad") && !seen.contains("tentative fd12"), "{seen}");
        assert!(ip(&one_at.net_ns, "-6 route").contains("default via fd12::1"));
        assert_eq!(ip(&plain_at.net_ns, "-6 -o addr show dev eth0"), "", "a network without IPv6");
        let read = |net_ns, key: &'static str| within(net_ns, move || std::fs::read_to_string(key).unwrap());
        let key = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6";
        assert_eq!((read(&one_at.net_ns, key).trim(), read(&plain_at.net_ns, key).trim()), ("0", "1"));
        assert_eq!(read(&one_at.net_ns, "/proc/sys/net/ipv6/conf/eth0/accept_ra").trim(), "0");
        // Neither the host nor anything behind it, also where these have IPv6.
        let (host, outside) = (Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 2), Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1));
        ip(&world.path("host"), "-6 addr add fd99::2/64 dev eth0 nodad");
        ip(&world.path("outside"), "-6 addr add fd99::1/64 dev wan0 nodad");
        world.within("host", move || listen(SocketAddr::from((host, PORT)), "host"));
        world.within("outside", move || listen(SocketAddr::from((outside, PORT)), "outside"));
        for there in [host, outside] {
            let from_the_host = (0..20).find_map(|_| world.within("host", move || greeting(there)));
            assert!(from_the_host.is_some(), "{there} from the host");
            assert_eq!(reach(&one_at, there), None, "{there} from a container");
        }
    });
}

#[test]
fn a_container_speaks_with_its_own_addresses_only() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        let (one, two, three) = (guest(FIRST, 1001, 2), guest(FIRST, 1001, 3), guest(FIRST, 1001, 5));
        let (one_at, two_at, three_at) = (one.start(&plane).await, two.start(&plane).await, three.start(&plane).await);
        serve(&two_at.net_ns, "two");
        serve(&three_at.net_ns, "three");
        assert_eq!(greeting_of(&one_at, address(3)).as_deref(), Some("two"));
        ip(&one_at.net_ns, "-6 addr add fd12::77/64 dev eth0 nodad");
        ip(&one_at.net_ns, "-6 route add fd12::3/128 dev eth0 src fd12::77");
        assert_eq!(reach(&one_at, address(3)), None, "another address");
        ip(&one_at.net_ns, "-6 route del fd12::3/128");
        // Linux would go on speaking with the newest address.
        ip(&one_at.net_ns, "-6 addr del fd12::77/64 dev eth0");
        assert_eq!(greeting_of(&one_at, address(3)).as_deref(), Some("two"));
        // It takes an address that is nobody's: what it answers to whoever looks for it is dropped.
        ip(&three_at.net_ns, "-6 addr add fd12::99/64 dev eth0 nodad");
        assert_eq!(reach(&one_at, address(0x99)), None, "an address that was not given");
        assert_eq!(greeting_of(&one_at, address(5)).as_deref(), Some("three"));
        ip(&one_at.net_ns, "link set eth0 address 02:42:ac:14:00:4d");
        assert_eq!(reach(&one_at, address(3)), None, "another MAC");
    });
}

#[test]
fn names_have_both_addresses_and_a_restarted_agent_knows_them() {
    on_a_host(async |world| {
        let first = plane(&world).await;
        let (one, two) = (guest(FIRST, 1001, 2), guest(FIRST, 1001, 3));
        let (one_at, two_at) = (one.start(&first).await, two.start(&first).await);
        serve(&two_at.net_ns, "two");
        let answer = within(&one_at.net_ns, || ask("c3.", RecordType::AAAA, false));
        assert_eq!(answer.answers[0].data.to_string(), "fd12::3");
        let reverse = format!("3.{}2.1.d.f.ip6.arpa.", "0.".repeat(27));
        let answer = within(&one_at.net_ns, move || ask(&reverse, RecordType::PTR, false));
        assert_eq!(answer.answers[0].data.to_string(), "test.bridge.");
        drop(first);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let second = plane(&world).await;
        for guest in [&one, &two] {
            second.adopt(&guest.request()).await.unwrap();
        }
        assert_eq!(greeting_of(&one_at, address(3)).as_deref(), Some("two"));
        let answer = within(&one_at.net_ns, || ask("c3.", RecordType::AAAA, true));
        assert_eq!(answer.answers[0].data.to_string(), "fd12::3");
        second.release(&two.id).await;
        assert_eq!(reach(&one_at, address(3)), None);
        serve(&two.start(&second).await.net_ns, "two again");
        assert_eq!(greeting_of(&one_at, address(3)).as_deref(), Some("two again"));
    });
}
