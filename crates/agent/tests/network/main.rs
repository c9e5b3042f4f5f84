//! The real plane in a simulated host: namespaces, links, nftables. Needs root; without it the tests say so and pass.
//!
//! Each test makes its own host namespace and enters it before the runtime starts, since all of a runtime's threads
//! inherit the namespace of the one that made it.

#![allow(clippy::unwrap_used)] // a test that cannot go on says so by a panic

mod ipv6;
mod names;
mod published;
mod world;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use agent::network::{Plane, Sandbox, SandboxRequest, Settings};
use domain::{ContainerId, Endpoint, NetworkId, TenantId, spec::DnsSettings};
use hickory_proto::{op::ResponseCode, rr::RecordType};
use world::{ANSWER, GATEWAY, HOST, INTERNET, METADATA, PORT, World, addresses, ask, greeting, listen, within};

const FIRST: u32 = 100_000;
const SECOND: u32 = 165_536;

/// Runs `test` in the host's namespace.
fn on_a_host<F: Future<Output = ()>>(test: impl FnOnce(Arc<World>) -> F + Send + 'static) {
    if !nix::unistd::Uid::effective().is_root() {
        return eprintln!("skipped: needs root");
    }
    let world = Arc::new(World::new());
    let inside = world.clone();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.within("host", move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(test(inside));
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
    }));
    drop(world);
    outcome.unwrap();
}

async fn plane(world: &World) -> Arc<Plane> {
    let settings = Settings {
        run: world.run.clone(),
        underlay_interface: "eth0".into(),
        dns_upstream: vec![SocketAddr::from((INTERNET, 53))],
        fenced: Vec::new(),
    };
    Plane::open(settings).await.unwrap()
}

/// A container to be, in the network `vni` with the subnet that all tenants use here.
struct Guest {
    name: &'static str,
    id: ContainerId,
    uid_base: u32,
    endpoints: Vec<Endpoint>,
    dns: DnsSettings,
    sysctls: BTreeMap<String, String>,
}

impl Guest {
    fn new(uid_base: u32, vni: u32, last: u8) -> Self {
        let address = Ipv4Addr::new(172, 20, 0, last);
        let endpoint = Endpoint {
            network: NetworkId::random(),
            network_name: "bridge".into(),
            vni,
            subnet: "172.20.0.0/16".parse().unwrap(),
            gateway: Ipv4Addr::new(172, 20, 0, 1),
            address,
            ipv6: None,
            mac: Endpoint::derived_mac(address),
            interface: "eth0".into(),
            mtu: 9000,
            internal: false,
            aliases: vec![format!("c{last}")],
            endpoint_id: String::new(),
        };
        let (id, endpoints) = (ContainerId::random(), vec![endpoint]);
        Self { id, name: "test", uid_base, endpoints, dns: DnsSettings::default(), sysctls: BTreeMap::new() }
    }

    fn internal(mut self) -> Self {
        self.endpoints.iter_mut().for_each(|e| e.internal = true);
        self
    }

    fn address(&self) -> Ipv4Addr {
        self.endpoints[0].address
    }

    fn request(&self) -> SandboxRequest<'_> {
        SandboxRequest {
            tenant: TenantId::random(),
            uid_base: self.uid_base,
            container: &self.id,
            name: self.name,
            endpoints: &self.endpoints,
            published: &[],
            dns: &self.dns,
            sysctls: &self.sysctls,
        }
    }

    async fn start(&self, plane: &Plane) -> Sandbox {
        plane.sandbox(&self.request()).await.unwrap()
    }
}

fn reach(from: &Sandbox, address: impl Into<IpAddr>) -> Option<String> {
    let address = address.into();
    within(&from.net_ns, move || greeting(address))
}

/// As [`reach`], with some tries: a frame that is sent in the few milliseconds until the kernel has noticed a new link's
/// carrier is lost.
fn greeting_of(from: &Sandbox, address: impl Into<IpAddr>) -> Option<String> {
    let address = address.into();
    (0..20).find_map(|_| reach(from, address))
}

fn serve(sandbox: &Sandbox, greeting: &'static str) {
    within(&sandbox.net_ns, move || listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)), greeting));
}

#[test]
fn tenants_with_the_same_subnet_meet_only_their_own() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        let (one, two) = (Guest::new(FIRST, 1001, 2), Guest::new(FIRST, 1001, 3));
        let (other, lonely) = (Guest::new(SECOND, 1002, 3), Guest::new(SECOND, 1002, 4));
        let (one_at, two_at) = (one.start(&plane).await, two.start(&plane).await);
        let (other_at, lonely_at) = (other.start(&plane).await, lonely.start(&plane).await);
        serve(&two_at, "two");
        serve(&other_at, "other");
        serve(&one_at, "one");
        assert_eq!(greeting_of(&one_at, two.address()).as_deref(), Some("two"));
        assert_eq!(greeting_of(&two_at, one.address()).as_deref(), Some("one"));
        assert_eq!(greeting_of(&lonely_at, other.address()).as_deref(), Some("other"));
        assert_eq!(reach(&lonely_at, one.address()), None, "an address that only the first tenant has");
        for container in [&one.id, &two.id, &other.id, &lonely.id] {
            plane.release(container).await;
        }
    });
}

#[test]
fn egress_works_and_the_fence_holds() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        let guest = Guest::new(FIRST, 1001, 2);
        let at = guest.start(&plane).await;
        let neighbour = Guest::new(SECOND, 1002, 2).start(&plane).await;
        assert_eq!(greeting_of(&at, INTERNET).as_deref(), Some("outside"));
        assert_eq!(greeting_of(&neighbour, INTERNET).as_deref(), Some("outside"));
        // Positive control: from the host they all answer.
        for address in [GATEWAY, METADATA, HOST] {
            assert!(world.within("host", move || greeting(address)).is_some(), "{address} from the host");
        }
        for address in [GATEWAY, METADATA, HOST] {
            assert_eq!(reach(&at, address), None, "{address} from a container");
        }
        for last in [1, 2, 5, 6] {
            assert_eq!(reach(&at, Ipv4Addr::new(100, 64, 0, last)), None, "uplink {last}");
        }
    });
}

#[test]
fn internal_networks_have_no_way_out() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        let (one, two) = (Guest::new(FIRST, 1001, 2).internal(), Guest::new(FIRST, 1001, 3).internal());
        let (one_at, two_at) = (one.start(&plane).await, two.start(&plane).await);
        serve(&two_at, "two");
        assert_eq!(greeting_of(&one_at, two.address()).as_deref(), Some("two"));
        assert_eq!(reach(&one_at, INTERNET), None);
        let answer = within(&one_at.net_ns, || ask("example.org.", RecordType::A, false));
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail, "DNS is no way out either");
        let answer = within(&one_at.net_ns, || ask("c3.", RecordType::A, false));
        assert_eq!(addresses(&answer), [two.address()]);
    });
}

#[test]
fn a_container_speaks_with_its_own_address_only() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        let (one, two) = (Guest::new(FIRST, 1001, 2), Guest::new(FIRST, 1001, 3));
        let (one_at, two_at) = (one.start(&plane).await, two.start(&plane).await);
        serve(&two_at, "two");
        assert!(greeting_of(&one_at, two.address()).is_some());
        let ip = |words: &'static str| {
            within(&one_at.net_ns, move || {
                let status = std::process::Command::new("ip").args(words.split(' ')).status().unwrap();
                assert!(status.success(), "ip {words}");
            });
        };
        ip("addr add 172.20.0.77/16 dev eth0");
        ip("route add 172.20.0.3/32 dev eth0 src 172.20.0.77");
        assert_eq!(reach(&one_at, two.address()), None, "another address");
        ip("route del 172.20.0.3/32");
        assert!(greeting_of(&one_at, two.address()).is_some());
        ip("link set eth0 address 02:42:ac:14:00:4d");
        assert_eq!(reach(&one_at, two.address()), None, "another MAC");
    });
}

#[test]
fn dns_knows_the_network_and_forwards_the_rest() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        let (one, other) = (Guest::new(FIRST, 1001, 2), Guest::new(SECOND, 1002, 3));
        let two = Guest { name: "web", ..Guest::new(FIRST, 1001, 3) };
        let (at, _, other_at) = (one.start(&plane).await, two.start(&plane).await, other.start(&plane).await);
        for name in ["web.".to_owned(), "c3.".into(), "C3.bridge.".into(), format!("{}.", two.id.short())] {
            for tcp in [false, true] {
                let asked = name.clone();
                let answer = within(&at.net_ns, move || ask(&asked, RecordType::A, tcp));
                assert_eq!(addresses(&answer), [two.address()], "{name}");
            }
        }
        let answer = within(&at.net_ns, || ask("web.", RecordType::AAAA, false));
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0));
        let answer = within(&at.net_ns, || ask("3.0.20.172.in-addr.arpa.", RecordType::PTR, false));
        assert_eq!(answer.answers[0].data.to_string(), "web.bridge.");
        for tcp in [false, true] {
            let answer = within(&at.net_ns, move || ask("example.org.", RecordType::A, tcp));
            assert_eq!(addresses(&answer), [ANSWER]);
        }
        let answer = within(&at.net_ns, || ask("example.org.", RecordType::TXT, false));
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
        // The other tenant's question about the same name goes out: it is nobody it knows.
        let answer = within(&other_at.net_ns, || ask("web.", RecordType::A, false));
        assert_eq!(addresses(&answer), [ANSWER]);
    });
}

#[test]
fn named_resolvers_are_asked_from_inside_the_fence() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        let mut guest = Guest::new(FIRST, 1001, 2);
        guest.dns.servers = vec![INTERNET.into()];
        let at = guest.start(&plane).await;
        for tcp in [false, true] {
            let answer = within(&at.net_ns, move || ask("example.org.", RecordType::A, tcp));
            assert_eq!(addresses(&answer), [ANSWER]);
        }
        let mut guest = Guest::new(FIRST, 1001, 3);
        guest.dns.servers = vec![GATEWAY.into()];
        let at = guest.start(&plane).await;
        let answer = within(&at.net_ns, || ask("example.org.", RecordType::A, false));
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    });
}

#[test]
fn an_agent_that_restarts_takes_everything_up() {
    on_a_host(async |world| {
        let first = plane(&world).await;
        let (one, two, gone) = (Guest::new(FIRST, 1001, 2), Guest::new(FIRST, 1001, 3), Guest::new(FIRST, 1001, 4));
        let (one_at, two_at, gone_at) = (one.start(&first).await, two.start(&first).await, gone.start(&first).await);
        serve(&two_at, "two");
        drop(first);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(greeting_of(&one_at, two.address()).is_some(), "without an agent");
        let second = plane(&world).await;
        assert_eq!(second.adopt(&one.request()).await.unwrap(), one_at);
        assert_eq!(second.adopt(&two.request()).await.unwrap(), two_at);
        let known = [one.id.clone(), two.id.clone()].into();
        second.retain(&known).await;
        assert!(!gone_at.net_ns.exists(), "nobody's sandbox is released");
        assert!(greeting_of(&one_at, two.address()).is_some());
        assert!(greeting_of(&one_at, INTERNET).is_some());
        let answer = within(&one_at.net_ns, || ask("c3.", RecordType::A, true));
        assert_eq!(addresses(&answer), [two.address()]);
        // And the container can be started again at its address, at once.
        serve(&two.start(&second).await, "two again");
        assert_eq!(greeting_of(&one_at, two.address()).as_deref(), Some("two again"));
    });
}

#[test]
fn sysctls_and_lonely_sandboxes() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        let mut guest = Guest::new(FIRST, 1001, 2);
        guest.sysctls.insert("net.ipv4.tcp_keepalive_time".into(), "77".into());
        let at = guest.start(&plane).await;
        let read = |key: &'static str| within(&at.net_ns, move || std::fs::read_to_string(key).unwrap());
        assert_eq!(read("/proc/sys/net/ipv4/tcp_keepalive_time").trim(), "77");
        assert_eq!(read("/proc/sys/net/ipv4/ip_unprivileged_port_start").trim(), "0");
        let mtu = within(&at.net_ns, || {
            String::from_utf8(std::process::Command::new("ip").args(["link", "show", "eth0"]).output().unwrap().stdout)
        });
        assert!(mtu.unwrap().contains("mtu 1450"), "clamped to what the underlay carries");
        let mut guest = Guest::new(FIRST, 1001, 3);
        guest.endpoints.clear();
        let at = guest.start(&plane).await;
        assert_eq!(reach(&at, INTERNET), None);
        let links = within(&at.net_ns, || std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        assert!(!links.contains("eth0") && links.contains("lo:"), "{links}");
    });
}

/// Prints what a start costs, and checks that nothing stays behind.
#[test]
fn starts_are_quick_and_leave_nothing() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        Guest::new(FIRST, 1001, 9).start(&plane).await;
        let guest = Guest::new(FIRST, 1001, 2);
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let mut before = 0;
        for round in 0..20 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            if round == 5 {
                before = descriptors(); // the pool is full by now
            }
            let begun = Instant::now();
            guest.start(&plane).await;
            starts.push(begun.elapsed());
            let begun = Instant::now();
            plane.release(&guest.id).await;
            ends.push(begun.elapsed());
        }
        starts.sort();
        ends.sort();
        eprintln!("sandbox: median {:?}, worst {:?}; release: median {:?}", starts[10], starts[19], ends[10]);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let left = |dir: &str| std::fs::read_dir(world.run.join(dir)).unwrap().count();
        assert_eq!((left("trash"), left("sandboxes")), (0, 1));
        assert!(left("spares") <= 4);
        assert!(descriptors() < before + 8, "{before} descriptors before, {} after", descriptors());
    });
}

#[test]
fn many_start_at_once() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        let begun = Instant::now();
        let workers: Vec<_> = (0..8u8)
            .map(|n| {
                let plane = plane.clone();
                tokio::spawn(async move {
                    for round in 0..10 {
                        let guest = Guest::new(FIRST, 1001 + u32::from(n % 2), 10 + n * 10 + round);
                        let at = guest.start(&plane).await;
                        assert!(at.net_ns.exists());
                        plane.release(&guest.id).await;
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        eprintln!("80 starts, 8 at once: {:?}", begun.elapsed());
    });
}
