//! The header of the PROXY protocol, version 2: who called, and which address. The numbers are of HAProxy's
//! proxy-protocol.txt.

use std::net::{IpAddr, SocketAddr};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

pub(crate) fn header(client: SocketAddr, dialled: SocketAddr) -> Vec<u8> {
    let mut addresses = Vec::with_capacity(36);
    let kind = match (client.ip(), dialled.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            addresses.extend(from.octets());
            addresses.extend(to.octets());
            TCP4
        }
        (from, to) => {
            let v6 = |ip| match ip {
                IpAddr::V4(ip) => std::net::Ipv4Addr::to_ipv6_mapped(&ip),
                IpAddr::V6(ip) => ip,
            };
            addresses.extend(v6(from).octets());
            addresses.extend(v6(to).octets());
            TCP6
        }
    };
    addresses.extend(client.port().to_be_bytes());
    addresses.extend(dialled.port().to_be_bytes());
    let mut header = SIGNATURE.to_vec();
    header.extend([PROXY, kind]);
    header.extend(u16::try_from(addresses.len()).unwrap_or_default().to_be_bytes());
    header.extend(addresses);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families() {
        let (v4, v6) = (SocketAddr::from(([192, 0, 2, 7], 49153)), SocketAddr::from(([1; 8], 80)));
        let header4 = header(v4, SocketAddr::from(([127, 64, 0, 1], 2376)));
        assert_eq!(header4[12..], [0x21, 0x11, 0, 12, 192, 0, 2, 7, 127, 64, 0, 1, 0xc0, 0x01, 0x09, 0x48]);
        assert_eq!(header(v6, v6).len(), 16 + 36);
    }
}
