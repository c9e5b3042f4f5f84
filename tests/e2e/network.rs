//! The default network of a tenant: an address, egress, DNS, and no way to anybody else.

use std::{io::Read, net::TcpListener};

use crate::system::{Tenant, data_dir, eventually};

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

#[test]
fn a_network_spans_hosts_with_names_addresses_and_isolation() {
    let t = Tenant::new("net");
    t.docker(&["network", "create", "--subnet", "10.77.0.0/24", "app"]).ok();
    // Three containers that repel each other are on three hosts.
    let apart = ["--network", "app", "-l", "kind=apart", "-e", "affinity:kind!=apart"];
    for (name, more) in [("web", &["--network-alias", "www"][..]), ("db", &["--ip", "10.77.0.9"]), ("cache", &[])] {
        let args = [&["run", "-d", "--name", name][..], &apart, more, &["busybox", "sh", "-c", SERVE]].concat();
        t.docker(&args).ok();
        // The first packet after `run` has answered: nobody waits for a network to converge.
        for peer in ["web", "www", "db"].iter().filter(|p| name != "web" || **p != "db") {
            t.docker(&["exec", name, "ping", "-c", "1", "-W", "2", peer]).ok();
        }
    }
    let hello = t.docker(&["exec", "web", "sh", "-c", &fetch("db")]).ok();
    assert_eq!(hello, "hello\n");
    assert!(t.docker(&["exec", "cache", "nslookup", "db"]).ok().contains("10.77.0.9"));
    // 9 KiB in fragments, and the largest packet that fits in one.
    t.docker(&["exec", "cache", "ping", "-c", "1", "-W", "2", "-s", "9000", "web"]).ok();
    let inspected =
        t.docker(&["network", "inspect", "-f", "{{len .Containers}} {{range .IPAM.Config}}{{.Subnet}}{{end}}", "app"]);
    assert_eq!(inspected.ok().trim(), "3 10.77.0.0/24");
    // Another network of the tenant, and another tenant on the same subnet, hear nothing.
    t.docker(&["network", "create", "other"]).ok();
    t.docker(&["run", "--rm", "--network", "other", "busybox", "ping", "-c", "1", "-W", "1", "10.77.0.9"])
        .fails_with(1, "");
    let stranger = Tenant::new("net");
    stranger.docker(&["network", "create", "--subnet", "10.77.0.0/24", "app"]).ok();
    let args = ["run", "--rm", "--network", "app", "busybox", "ping", "-c", "1", "-W", "1", "10.77.0.9"];
    stranger.docker(&args).fails_with(1, "");
    stranger.docker(&["network", "inspect", "other"]).fails_with(1, "network other not found");
    // A name ends with its container, on every host.
    t.docker(&["stop", "-t", "0", "db"]).ok();
    eventually(8, "the name is forgotten everywhere", || t.docker(&["exec", "web", "nslookup", "db."]).code != 0);
    t.docker(&["network", "rm", "app"]).fails_with(1, "has active endpoints");
    t.docker(&["rm", "-f", "web", "db", "cache"]).ok();
    t.docker(&["network", "rm", "app"]).ok();
}

/// The page that `name` serves. By hand, since the wget of a static busybox crashes without the C library's files.
fn fetch(name: &str) -> String {
    let address = format!("ping -c 1 -W 2 {name} | sed -n 's/^PING [^(]*(\\([0-9.]*\\)).*/\\1/p'");
    let ask = "printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 3 $a 80 | tail -n 1";
    format!("a=$({address}); test -n \"$a\" && {ask}")
}

const SERVE: &str = "mkdir /www; echo hello >/www/index.html; exec httpd -f -p 80 -h /www";

#[test]
fn a_running_container_is_connected_and_disconnected() {
    let t = Tenant::new("net");
    for (net, subnet) in [("one", "10.71.0.0/24"), ("two", "10.72.0.0/24")] {
        t.docker(&["network", "create", "--subnet", subnet, net]).ok();
    }
    t.docker(&["run", "-d", "--name", "web", "--network", "one", "busybox", "sh", "-c", SERVE]).ok();
    t.docker(&["network", "connect", "--alias", "second", "--ip", "10.72.0.8", "two", "web"]).ok();
    let fetch = fetch("second");
    let get = ["run", "--rm", "--network", "two", "busybox", "sh", "-c", &fetch];
    assert_eq!(t.docker(&get).ok(), "hello\n");
    assert!(t.docker(&["exec", "web", "ip", "-4", "addr", "show", "eth1"]).ok().contains("10.72.0.8/24"));
    t.docker(&["network", "connect", "two", "web"])
        .fails_with(1, "endpoint with name web already exists in network two");
    t.docker(&["network", "disconnect", "one", "web"]).ok();
    assert!(!t.docker(&["exec", "web", "ip", "-4", "addr"]).ok().contains("10.71.0."));
    assert!(t.docker(&["exec", "web", "ip", "route"]).ok().contains("default via 10.72.0.1"));
    t.docker(&["network", "disconnect", "one", "web"]).fails_with(1, "is not connected to network one");
    // The next start has what there is now.
    t.docker(&["restart", "-t", "0", "web"]).ok();
    assert_eq!(t.docker(&get).ok(), "hello\n");
    assert_eq!(t.docker(&["inspect", "-f", "{{len .NetworkSettings.Networks}}", "web"]).ok().trim(), "1");
    // A container that does not run is connected from its next start on.
    t.docker(&["create", "--name", "late", "--network", "one", "busybox", "sleep", "100"]).ok();
    t.docker(&["network", "connect", "two", "late"]).ok();
    t.docker(&["start", "late"]).ok();
    t.docker(&["exec", "late", "ping", "-c", "1", "-W", "2", "second"]).ok();
}

#[test]
fn an_internal_network_has_no_way_out_and_networks_are_listed_and_pruned() {
    let t = Tenant::new("net");
    t.docker(&["network", "create", "--internal", "--label", "a=b", "inside"]).ok();
    let routes = t.docker(&["run", "--rm", "--network", "inside", "busybox", "ip", "route"]).ok();
    assert!(!routes.contains("default"), "{routes}");
    let names = t.docker(&["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"]).ok();
    let mut lines: Vec<&str> = names.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["bridge bridge local", "host host local", "inside bridge local", "none null local"]);
    assert_eq!(t.docker(&["network", "ls", "-q", "-f", "label=a=b", "-f", "type=custom"]).ok().lines().count(), 1);
    t.docker(&["network", "ls", "-f", "bogus=1"]).fails_with(1, "invalid filter 'bogus'");
    t.docker(&["network", "create", "inside"]).fails_with(1, "network with name inside already exists");
    t.docker(&["network", "create", "-d", "macvlan", "x"]).fails_with(1, "policy N01");
    t.docker(&["network", "create", "--subnet", "8.8.8.0/24", "x"]).fails_with(1, "policy N03");
    t.docker(&["network", "rm", "bridge"]).fails_with(1, "bridge is a pre-defined network and cannot be removed");
    t.docker(&["network", "connect", "host", "x"]).fails_with(1, "cannot connect container to host network");
    assert_eq!(t.docker(&["network", "prune", "-f"]).ok().trim(), "Deleted Networks:\ninside");
}

#[test]
fn a_link_is_a_name_that_one_container_knows_and_network_changes_are_events() {
    let t = Tenant::new("net");
    let since = now();
    t.docker(&["run", "-d", "--name", "web", "busybox", "sh", "-c", SERVE]).ok();
    let fetch = fetch("srv");
    let get = ["busybox", "sh", "-c", &fetch];
    assert_eq!(t.docker(&[&["run", "--rm", "--link", "web:srv"][..], &get].concat()).ok(), "hello\n");
    assert_ne!(t.docker(&[&["run", "--rm"][..], &get].concat()).code, 0, "nobody else knows it");
    t.docker(&["run", "--rm", "--link", "nobody:srv", "busybox", "true"]).fails_with(125, "nobody");
    t.docker(&["network", "create", "one"]).ok();
    t.docker(&["network", "connect", "one", "web"]).ok();
    t.docker(&["network", "disconnect", "one", "web"]).ok();
    t.docker(&["network", "rm", "one"]).ok();
    // The CLI cuts `--until 0s` down to the whole second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let args = ["events", "--since", &since, "--until", "0s", "-f", "network=one", "--format", "{{.Action}}"];
    assert_eq!(t.docker(&args).ok(), "create\nconnect\ndisconnect\ndestroy\n");
}

fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}
