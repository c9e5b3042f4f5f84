//! The default network of a tenant: an address, egress, DNS, and no way to anybody else.

use std::{io::Read, net::TcpListener};

use crate::system::{Tenant, data_dir};

fn address(t: &Tenant, container: &str) -> String {
    t.docker(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container])
        .ok()
        .trim()
        .to_owned()
}

#[test]
fn a_container_has_an_address_and_a_resolver() {
    let t = Tenant::new("net");
    t.docker(&["run", "-d", "--name", "n1", "busybox", "sleep", "1000"]).ok();
    let seen = t.docker(&["exec", "n1", "ip", "-4", "-o", "addr", "show", "eth0"]).ok();
    assert!(seen.contains(&address(&t, "n1")), "{seen}");
    assert!(t.docker(&["exec", "n1", "cat", "/etc/resolv.conf"]).ok().contains("nameserver 127.0.0.11"));
    assert!(t.docker(&["exec", "n1", "nslookup", "n1"]).ok().contains(&address(&t, "n1")), "its own name");
}

#[test]
fn no_network_means_loopback_only() {
    let t = Tenant::new("net");
    let out = t.docker(&["run", "--rm", "--network", "none", "busybox", "ip", "-o", "addr"]).ok();
    assert!(out.contains("127.0.0.1") && !out.contains("eth0"), "{out}");
}

#[test]
fn the_host_s_network_is_refused() {
    let t = Tenant::new("net");
    t.docker(&["run", "--rm", "--network", "host", "busybox", "true"]).fails_with(125, "policy P10");
    t.docker(&["run", "--rm", "--network", "nonesuch", "busybox", "true"])
        .fails_with(125, "network nonesuch not found");
}

#[test]
fn management_and_metadata_addresses_are_out_of_reach() {
    let t = Tenant::new("net");
    let config = std::fs::read_to_string(data_dir().join("config/frontend.toml")).expect("frontend.toml");
    let internal = config.lines().find(|l| l.starts_with("internal_listen")).expect("internal_listen");
    let (host, port) = internal.split('"').nth(1).expect("quoted").rsplit_once(':').expect("address:port");
    for target in [format!("{host} {port}"), "169.254.169.254 80".to_owned()] {
        let done =
            t.docker(&["run", "--rm", "busybox", "sh", "-c", &format!("nc -w 2 {target} </dev/null && echo reached")]);
        assert!(!done.out.contains("reached"), "{target}: {done:?}");
    }
}

#[test]
fn packets_leave_by_nat() {
    let t = Tenant::new("net");
    let Some(outside) = default_address() else { panic!("this machine has no address to be reached at") };
    let listener = TcpListener::bind((outside.as_str(), 0)).expect("bind");
    let port = listener.local_addr().expect("address").port();
    let server = std::thread::spawn(move || {
        let (mut stream, peer) = listener.accept().expect("a connection");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("text");
        (text, peer.ip().to_string())
    });
    t.docker(&["run", "--rm", "busybox", "sh", "-c", &format!("echo out | nc -w 5 {outside} {port}")]).ok();
    let (text, peer) = server.join().expect("server");
    assert_eq!(text, "out\n");
    assert!(!peer.starts_with("172."), "the container's own address stays inside: {peer}");
}

/// This machine's address on its default route.
fn default_address() -> Option<String> {
    let out = std::process::Command::new("ip").args(["-4", "-o", "route", "get", "192.0.2.1"]).output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.split_whitespace().skip_while(|w| *w != "src").nth(1).map(str::to_owned)
}
