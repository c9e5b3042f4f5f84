//! Published ports at the tenant's own address, wherever its containers are.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use crate::system::Tenant;

/// `host` of `tcp://host:port`.
fn address(t: &Tenant) -> String {
    let endpoint = t.endpoint.strip_prefix("tcp://").expect("tcp");
    endpoint.rsplit_once(':').expect("a port").0.to_owned()
}

fn port(t: &Tenant, container: &str, key: &str) -> u16 {
    let out = t.docker(&["port", container, key]).ok();
    let (host, port) = out.trim().rsplit_once(':').expect("address:port");
    assert_eq!(host, address(t));
    port.parse().expect("a port")
}

/// Tries for ten seconds.
fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a server of one line says.
fn line(t: &Tenant, port: u16) -> std::io::Result<String> {
    let at: SocketAddr = format!("{}:{port}", address(t)).parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn serve(t: &Tenant, name: &str, options: &[&str], text: &str) {
    let script = format!("while true; do echo {text} | nc -l -p 80; done");
    let args = [&["run", "-d", "--name", name], options, &["busybox", "sh", "-c", &script]].concat();
    t.docker(&args).ok();
}

#[test]
fn a_port_answers_at_the_tenant_s_address_on_whichever_host() {
    let t = Tenant::new("ports");
    for host in ["h1", "h2", "h3"] {
        serve(&t, host, &["-p", "80", "-e", &format!("constraint:zone==z{}", &host[1..])], host);
        let port = port(&t, host, "80/tcp");
        // The first connection is not refused; the server inside may need a moment.
        until("an answer", || line(&t, port).ok().filter(|text| text == host));
    }
    let shown = t.docker(&["ps", "--format", "{{.Ports}}", "-f", "name=h1"]).ok();
    assert_eq!(shown.trim(), format!("{}:{}->80/tcp", address(&t), port(&t, "h1", "80/tcp")));
}

#[test]
fn a_port_is_taken_at_start_and_free_after_stop() {
    let t = Tenant::new("ports");
    serve(&t, "one", &["-p", "18099:80"], "one");
    until("an answer", || line(&t, 18099).ok().filter(|text| text == "one"));
    t.docker(&[
        "create",
        "--name",
        "two",
        "-p",
        "18099:80",
        "busybox",
        "sh",
        "-c",
        "while true; do echo two | nc -l -p 80; done",
    ])
    .ok();
    t.docker(&["start", "two"])
        .fails_with(1, &format!("Bind for {}:18099 failed: port is already allocated", address(&t)));
    assert_eq!(t.docker(&["inspect", "-f", "{{.State.ExitCode}}", "two"]).ok().trim(), "128");
    assert!(t.docker(&["inspect", "-f", "{{.State.Error}}", "two"]).ok().contains("port is already allocated"));
    // A container that cannot start is removed as asked, and its client does not wait for a run.
    t.docker(&["run", "--rm", "--name", "three", "-p", "18099:80", "busybox", "true"])
        .fails_with(125, "port is already allocated");
    t.docker(&["inspect", "three"]).fails_with(1, "o such object");
    assert_eq!(t.docker(&["ps", "-q", "-f", "publish=18099"]).ok().lines().count(), 1);
    t.docker(&["stop", "-t", "0", "one"]).ok();
    assert_eq!(t.docker(&["port", "one"]).ok(), "");
    t.docker(&["start", "two"]).ok();
    until("an answer", || line(&t, 18099).ok().filter(|text| text == "two"));
    t.docker(&["restart", "-t", "0", "two"]).ok();
    until("an answer after a restart", || line(&t, 18099).ok().filter(|text| text == "two"));
    t.docker(&["rm", "-f", "two"]).ok();
    until("nobody", || line(&t, 18099).is_err().then_some(()));
}

#[test]
fn two_tenants_may_publish_the_same_number() {
    let (a, b) = (Tenant::new("ports"), Tenant::new("ports"));
    serve(&a, "web", &["-p", "18080:80"], "a");
    serve(&b, "web", &["-p", "18080:80"], "b");
    assert_ne!(address(&a), address(&b));
    until("a", || line(&a, 18080).ok().filter(|text| text == "a"));
    until("b", || line(&b, 18080).ok().filter(|text| text == "b"));
}

/// busybox has no server of UDP. 2, 2, 17: AF_INET, SOCK_DGRAM, IPPROTO_UDP.
const ECHO: &str = r#"socket(S, 2, 2, 17) or die; bind(S, pack("S n x12", 2, 9)) or die;
    while (1) { my $from = recv(S, my $data, 65535, 0); send(S, $data, 0, $from) }"#;

/// The machine's perl (of Debian's essential packages) with its libraries.
fn perl_image(t: &Tenant) {
    let files = "/usr/bin/perl $(ldd /usr/bin/perl | grep -o '/[^ ]*')";
    t.shell(&format!("tar -chP --transform 's,^/,,' {files} | docker import - perl")).ok();
}

#[test]
fn udp_ranges_and_publish_all() {
    let t = Tenant::new("ports");
    perl_image(&t);
    t.docker(&[
        "run",
        "-d",
        "--name",
        "echo",
        "-p",
        "19000-19010:9/udp",
        "--expose",
        "80",
        "-P",
        "perl",
        "perl",
        "-e",
        ECHO,
    ])
    .ok();
    let udp = port(&t, "echo", "9/udp");
    assert!((19000..=19010).contains(&udp));
    assert!(port(&t, "echo", "80/tcp") >= 32768);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    socket.connect((address(&t).as_str(), udp)).expect("connect");
    until("an echo", || {
        socket.send(b"hello").ok()?;
        let mut answer = [0u8; 16];
        let n = socket.recv(&mut answer).ok()?;
        (&answer[..n] == b"hello").then_some(())
    });
}

#[test]
fn the_api_s_own_port_and_foreign_addresses_are_refused() {
    let t = Tenant::new("ports");
    let api = t.endpoint.rsplit_once(':').expect("a port").1.to_owned();
    t.docker(&["create", "-p", &format!("{api}:80"), "busybox"]).fails_with(1, "policy N11");
    t.docker(&["create", "-p", "192.0.2.1:80:80", "busybox"]).fails_with(1, "policy N11");
}

#[test]
fn who_asks_for_it_hears_who_called() {
    let t = Tenant::new("ports");
    t.docker(&[
        "run",
        "-d",
        "--name",
        "told",
        "-p",
        "18081:80",
        "--label",
        "com.wharfinger.proxy-protocol=v2",
        "busybox",
        "sh",
        "-c",
        "nc -l -p 80 | head -c 28 | od -An -tx1 | tr -d ' \\n'",
    ])
    .ok();
    let at = format!("{}:18081", address(&t));
    // Again, as long as the server inside may not be there: the edge takes a connection, and drops it then.
    let logs = until("the header", || {
        let mut stream = TcpStream::connect(&at).ok()?;
        stream.write_all(b"x").ok()?;
        std::thread::sleep(Duration::from_millis(200));
        Some(t.docker(&["logs", "told"]).ok()).filter(|logs| logs.len() >= 56)
    });
    assert!(logs.starts_with("0d0a0d0a000d0a515549540a2111000c7f"), "{logs}");
}
