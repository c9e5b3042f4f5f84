//! Published ports: from the underlay through the host's and the router's translation into the container.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use agent::network::{Plane, Sandbox, SandboxRequest};
use domain::{HostPort, Protocol};

use super::{FIRST, Guest, SECOND, on_a_host, plane};
use crate::world::{GATEWAY, HOST, PORT, World, within};

const PATIENCE: Duration = Duration::from_millis(150);
/// A frame that is sent before the kernel has noticed a new link's carrier is lost.
const TRIES: usize = 20;

fn tcp(host_port: u16) -> HostPort {
    HostPort { protocol: Protocol::Tcp, host_port, container_port: PORT }
}

fn udp(host_port: u16) -> HostPort {
    HostPort { protocol: Protocol::Udp, ..tcp(host_port) }
}

async fn publish(plane: &Plane, guest: &Guest, published: &[HostPort]) -> Sandbox {
    plane.sandbox(&SandboxRequest { published, ..guest.request() }).await.unwrap()
}

/// Tells everybody who calls its own name and the caller's address, by TCP and by UDP.
fn serve(at: &Sandbox, name: &'static str) {
    within(&at.net_ns, move || {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let caller = stream.peer_addr().unwrap().ip();
                let _ = stream.write_all(format!("{name} to {caller}").as_bytes());
            }
        });
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0u8; 64];
            while let Ok((_, caller)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(format!("{name} to {}", caller.ip()).as_bytes(), caller);
            }
        });
    });
}

/// What another host hears at the port of this one.
fn heard(world: &World, port: HostPort, tries: usize) -> Option<String> {
    world.within("outside", move || (0..tries).find_map(|_| call(port)))
}

fn call(port: HostPort) -> Option<String> {
    let at = SocketAddr::from((HOST, port.host_port));
    match port.protocol {
        Protocol::Tcp => {
            let mut stream = TcpStream::connect_timeout(&at, PATIENCE).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            Some(text)
        }
        Protocol::Udp => {
            // Each call from another port, or conntrack would send it where it sent the last one.
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
            socket.set_read_timeout(Some(PATIENCE)).ok()?;
            socket.send_to(b"?", at).ok()?;
            let mut buffer = [0u8; 64];
            let n = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..n]).into_owned())
        }
    }
}

/// The container sees the caller, not the host.
fn greeting(name: &str) -> Option<String> {
    Some(format!("{name} to {GATEWAY}"))
}

#[test]
fn a_port_of_the_host_leads_to_its_container_until_that_is_released() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        // The same address in two tenants' networks: the router tells them apart.
        let (one, other) = (Guest::new(FIRST, 1001, 2), Guest::new(SECOND, 1002, 2));
        let one_at = publish(&plane, &one, &[tcp(20_080), udp(20_081)]).await;
        let other_at = publish(&plane, &other, &[tcp(20_082)]).await;
        serve(&one_at, "one");
        serve(&other_at, "other");
        assert_eq!(heard(&world, tcp(20_080), TRIES), greeting("one"));
        assert_eq!(heard(&world, udp(20_081), TRIES), greeting("one"));
        assert_eq!(heard(&world, tcp(20_082), TRIES), greeting("other"));
        for closed in [udp(20_080), tcp(20_081), tcp(20_083)] {
            assert_eq!(heard(&world, closed, 1), None, "{closed:?}");
        }
        assert_eq!(heard(&world, tcp(PORT), 1).as_deref(), Some("host"), "a port of the host's own");
        plane.release(&one.id).await;
        for gone in [tcp(20_080), udp(20_081)] {
            assert_eq!(heard(&world, gone, 1), None, "{gone:?}");
        }
        assert_eq!(heard(&world, tcp(20_082), 1), greeting("other"));
        // The next holder of the port is in another network.
        let next = Guest::new(SECOND, 1002, 3);
        serve(&publish(&plane, &next, &[tcp(20_080)]).await, "next");
        assert_eq!(heard(&world, tcp(20_080), TRIES), greeting("next"));
    });
}

#[test]
fn a_published_port_outlives_the_agent_and_ends_with_its_successor_s_release() {
    on_a_host(async |world| {
        let first = plane(&world).await;
        let (guest, published) = (Guest::new(FIRST, 1001, 2), [tcp(20_080)]);
        serve(&publish(&first, &guest, &published).await, "one");
        assert_eq!(heard(&world, published[0], TRIES), greeting("one"));
        drop(first);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(heard(&world, published[0], TRIES), greeting("one"), "without an agent");
        // The rules are loaded again; what is in the maps stays.
        let second = plane(&world).await;
        assert_eq!(heard(&world, published[0], TRIES), greeting("one"), "before it is adopted");
        let request = SandboxRequest { published: &published, ..guest.request() };
        second.adopt(&request).await.unwrap();
        assert_eq!(heard(&world, published[0], TRIES), greeting("one"), "once it is adopted");
        second.release(&guest.id).await;
        assert_eq!(heard(&world, published[0], 1), None);
    });
}

#[test]
fn an_internal_network_has_no_way_in() {
    on_a_host(async |world| {
        let plane = plane(&world).await;
        let guest = Guest::new(FIRST, 1001, 2).internal();
        serve(&publish(&plane, &guest, &[tcp(20_080)]).await, "one");
        assert_eq!(heard(&world, tcp(20_080), 3), None);
    });
}
