//! Queries about other names, passed on as they are.
//!
//! The host's resolvers are asked from the host's namespace, so a container needs no way to them. Resolvers that the
//! tenant named are asked from the container's own namespace: its egress filter holds for them, or `--dns` would be a
//! way to reach the underlay.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use domain::{Error, Result};
use rand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
    time::timeout,
};

use crate::network::netns::Netns;

/// For one try at one server.
const ATTEMPT: Duration = Duration::from_secs(2);
/// With two seconds each, below the five that resolvers wait by default.
const ATTEMPTS: usize = 2;
/// As in resolv.conf.
const SERVERS_MAX: usize = 3;
const HEADER: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// Whom to ask, and from where.
pub(crate) enum Upstream {
    /// Containers of internal networks: nobody.
    None,
    Host(Vec<SocketAddr>),
    Container {
        servers: Vec<IpAddr>,
        netns: Netns,
    },
}

impl Upstream {
    /// The first useful answer, with the query's id; `None` when nobody answered.
    pub(super) async fn ask(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let servers = self.servers();
        let attempts = ATTEMPTS.max(servers.len()).min(SERVERS_MAX);
        let mut poor = None;
        for server in servers.iter().cycle().take(attempts) {
            match timeout(ATTEMPT, self.attempt(query, *server, transport)).await {
                Ok(Ok(answer)) if is_useful(&answer) => return Some(answer),
                Ok(Ok(answer)) => poor = Some(answer),
                Ok(Err(error)) => tracing::debug!(%server, %error, "resolver"),
                Err(_) => tracing::debug!(%server, "resolver did not answer in time"),
            }
        }
        poor
    }

    fn servers(&self) -> Vec<SocketAddr> {
        match self {
            Self::None => Vec::new(),
            Self::Host(servers) => servers.iter().copied().take(SERVERS_MAX).collect(),
            Self::Container { servers, .. } => servers.iter().take(SERVERS_MAX).map(|s| (*s, 53).into()).collect(),
        }
    }

    /// Under an id of our own: a guess at the container's id does not help to forge an answer.
    async fn attempt(&self, query: &[u8], server: SocketAddr, transport: Transport) -> Result<Vec<u8>> {
        let id: [u8; 2] = rand::rng().random();
        let mut sent = query.to_vec();
        sent[..2].copy_from_slice(&id);
        let failed = |e: io::Error| Error::because("ask a resolver", e);
        let mut answer = match transport {
            Transport::Udp => over_udp(self.udp(server)?, server, &sent).await.map_err(failed)?,
            Transport::Tcp => over_tcp(self.tcp(server)?, server, &sent).await.map_err(failed)?,
        };
        answer[..2].copy_from_slice(&query[..2]);
        Ok(answer)
    }

    fn udp(&self, server: SocketAddr) -> Result<std::net::UdpSocket> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        self.inside(move || {
            let socket = std::net::UdpSocket::bind(any)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
    }

    fn tcp(&self, server: SocketAddr) -> Result<TcpSocket> {
        self.inside(move || if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() })
    }

    /// Makes a socket in the right namespace, where it stays.
    fn inside<T: Send>(&self, make: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
        let made = || make().map_err(|e| Error::because("socket for a resolver", e));
        match self {
            Self::Container { netns, .. } => netns.run(made),
            _ => made(),
        }
    }
}

async fn over_udp(socket: std::net::UdpSocket, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::from_std(socket)?;
    socket.connect(server).await?; // the kernel now drops what others send
    socket.send(query).await?;
    let mut answer = vec![0u8; 65_535];
    loop {
        let length = socket.recv(&mut answer).await?;
        if belongs(query, &answer[..length]) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn over_tcp(socket: TcpSocket, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = socket.connect(server).await?;
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend(query);
    stream.write_all(&framed).await?;
    let mut answer = vec![0u8; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    match belongs(query, &answer) {
        true => Ok(answer),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A response, to this id.
fn belongs(query: &[u8], answer: &[u8]) -> bool {
    answer.len() >= HEADER && answer[..2] == query[..2] && answer[2] & 0x80 != 0
}

/// Not SERVFAIL, NOTIMP or REFUSED, after which the next server is asked.
fn is_useful(answer: &[u8]) -> bool {
    !matches!(answer[3] & 0x0f, 2 | 4 | 5)
}
