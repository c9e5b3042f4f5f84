//! Sockets of the edge: at addresses that no interface needs to have, shared with other edges of the machine.

use std::{io, net::SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const BACKLOG: i32 = 1024;
/// A peer that is gone is noticed within 30 + 6 x 10 = 90 s, as at a frontend.
const KEEPALIVE_IDLE_S: u32 = 30;
const KEEPALIVE_INTERVAL_S: u32 = 10;
const KEEPALIVE_PROBES: u32 = 6;

pub(crate) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(at, Type::STREAM, Protocol::TCP)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

pub(crate) fn udp(at: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::from_std(socket(at, Type::DGRAM, Protocol::UDP)?.into())
}

fn socket(at: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind, Some(protocol))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    setsockopt(&socket, sockopt::IpFreebind, &true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket)
}

/// No delay of small writes; a peer that is gone is noticed.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_S)?;
    setsockopt(stream, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    Ok(())
}
