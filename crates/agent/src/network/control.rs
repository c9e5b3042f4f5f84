//! The control plane's addresses, which containers must not reach.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::Ipv4Net;

/// Of `https://host:port` URLs. A name that does not resolve now is left out: it is one of the underlay's, or will not
/// be reachable by us either.
pub(super) async fn addresses(urls: impl Iterator<Item = &String>) -> Vec<Ipv4Net> {
    let mut found: Vec<Ipv4Addr> = Vec::new();
    for authority in urls.filter_map(|url| authority(url)) {
        let resolved = tokio::net::lookup_host(authority).await.into_iter().flatten();
        found.extend(resolved.filter_map(ipv4));
    }
    found.sort();
    found.dedup();
    found.into_iter().map(Ipv4Net::from).collect()
}

/// `host:port` of a URL.
fn authority(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().filter(|a| a.contains(':'))
}

fn ipv4(address: SocketAddr) -> Option<Ipv4Addr> {
    match address.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn authorities_are_found() {
        assert_eq!(super::authority("https://10.0.0.1:7000/x"), Some("10.0.0.1:7000"));
        assert_eq!(super::authority("nonsense"), None);
    }
}
