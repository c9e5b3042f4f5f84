//! Ports as `docker create` sends them: what is accepted is a port of this tenant's.

use serde_json::json;

pub const SEEDS: &[&[u8]] = &[
    b"80/tcp\n127.0.0.1\n8080",
    b"53/udp\n\n",
    b"1000-1010/tcp\n::\n2000-2010",
    b"80\n0.0.0.0\n0",
    b"65536/sctp\n256.1.1.1\n-1",
];

pub fn run(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let mut lines = text.split('\n');
    let (port, ip, host) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let body = json!({
        "ExposedPorts": { port: {} },
        "HostConfig": { "PortBindings": { port: [{ "HostIp": ip, "HostPort": host }] } },
    });
    if let Some(accepted) = super::mounts::create(&body) {
        for published in &accepted.spec.ports {
            let (first, last) = published.host_ports;
            assert!(published.container_port > 0 && first <= last && !(first..=last).contains(&22), "{body}");
        }
    }
}
