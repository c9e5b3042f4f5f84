//! The sockets that answer DNS inside one container: made in its namespace, read from the host's.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

use domain::{Error, Result};

use super::redirect;
use crate::network::nftables::Nftables;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// UDP and TCP on one port of 127.0.0.11, not yet answered.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) port: u16,
    pub(super) udp: UdpSocket,
    pub(super) tcp: TcpListener,
}

impl Sockets {
    /// Fresh ones and their redirection, in the calling thread's namespace, whose loopback must be up.
    pub(crate) fn open_here() -> Result<Self> {
        let sockets = Self::bind_any().map_err(|e| Error::because("DNS sockets in a container", e))?;
        sockets.redirect_here()?;
        Ok(sockets)
    }

    /// On the port that the namespace's rules already name; if somebody has taken it, on another, with new rules.
    pub(crate) fn reopen_here(port: u16) -> Result<Self> {
        match Self::bind(port) {
            Ok(sockets) => Ok(sockets),
            Err(_) => Self::open_here(),
        }
    }

    fn redirect_here(&self) -> Result<()> {
        let nft = Nftables::open_here()?;
        redirect::load_here(&nft, self.port).map_err(|e| Error::because("redirect DNS in a container", e))
    }

    /// The port that UDP got may be taken for TCP: try a few times.
    fn bind_any() -> std::io::Result<Self> {
        (0..3).find_map(|_| Self::bind(0).ok()).map_or_else(|| Self::bind(0), Ok)
    }

    fn bind(port: u16) -> std::io::Result<Self> {
        let udp = UdpSocket::bind(SocketAddrV4::new(ADDRESS, port))?;
        let tcp = TcpListener::bind(udp.local_addr()?)?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        Ok(Self { port: udp.local_addr()?.port(), udp, tcp })
    }
}
