//! The host's own resolvers.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// What the operator configured, or else the `nameserver` lines of `resolv_conf`.
pub(crate) fn host_servers(configured: &[SocketAddr], resolv_conf: &Path) -> Vec<SocketAddr> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    let text = std::fs::read_to_string(resolv_conf).unwrap_or_default();
    text.lines().filter_map(nameserver).map(|address| (address, 53).into()).collect()
}

fn nameserver(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    (words.next()? == "nameserver").then(|| words.next()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameserver_lines_are_read() {
        assert_eq!(nameserver("nameserver 10.0.0.1"), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(nameserver("# nameserver 10.0.0.1"), None);
        assert_eq!(nameserver("search example.org"), None);
    }
}
