//! Connections that an edge hands on: the PROXY protocol's header (version 2) says who called, and which address.
//!
//! The header comes in clear text before TLS, from edges only: the listener is on the underlay, which no container reaches.
//! Nothing is granted for what it says. The numbers are of HAProxy's proxy-protocol.txt.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Addresses and all that may follow them; more is not ours.
const BODY_MAX: usize = 512;

/// Both ends, as the edge saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    pub(crate) dialled: SocketAddr,
}

/// Reads exactly the header.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Ends> {
    let mut head = [0u8; 16];
    stream.read_exact(&mut head).await?;
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if head[..12] != SIGNATURE[..] || head[12] != PROXY || length > BODY_MAX {
        return Err(not_ours());
    }
    let mut body = [0u8; BODY_MAX];
    let body = &mut body[..length];
    stream.read_exact(body).await?;
    match (head[13], &*body) {
        (TCP4, [a, b, c, d, e, f, g, h, i, j, k, l, ..]) => Ok(Ends {
            client: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)), u16::from_be_bytes([*i, *j])),
            dialled: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(*e, *f, *g, *h)), u16::from_be_bytes([*k, *l])),
        }),
        (TCP6, body) if body.len() >= 36 => {
            let address = |at: usize| {
                let mut octets = [0u8; 16];
                octets.copy_from_slice(&body[at..at + 16]);
                IpAddr::V6(Ipv6Addr::from(octets))
            };
            let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
            Ok(Ends { client: SocketAddr::new(address(0), port(32)), dialled: SocketAddr::new(address(16), port(34)) })
        }
        _ => Err(not_ours()),
    }
}

fn not_ours() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no header of the PROXY protocol, version 2")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([PROXY, kind]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[tokio::test]
    async fn both_ends_are_read_and_not_a_byte_more() {
        let body = [192, 0, 2, 7, 127, 64, 0, 1, 0xc0, 0x01, 0x09, 0x48];
        let mut bytes = header(TCP4, &body);
        bytes.extend(b"TLS");
        let mut stream = &bytes[..];
        let ends = read(&mut stream).await.expect("a header");
        assert_eq!(
            (ends.client.to_string(), ends.dialled.to_string()),
            ("192.0.2.7:49153".into(), "127.64.0.1:2376".into())
        );
        assert_eq!(stream, b"TLS");
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for bytes in
            [header(0, &[]), header(TCP4, &[1]), header(TCP6, &[0; 35]), b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![]]
        {
            assert!(read(&mut &bytes[..]).await.is_err(), "{bytes:?}");
        }
    }
}
