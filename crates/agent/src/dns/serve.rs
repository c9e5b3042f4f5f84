//! The two loops that answer a container's DNS, each bounded: a flood of queries is dropped, not queued.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use domain::{Error, Result};
use hickory_proto::op::ResponseCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{
    answer::{Verdict, consider, failure},
    forward::{Transport, Upstream},
    names::Names,
    sockets::Sockets,
};

/// Queries of one container in flight.
const QUERIES_MAX: usize = 128;
const CONNECTIONS_MAX: usize = 8;
const IDLE: Duration = Duration::from_secs(10);

/// What one container's queries are answered from.
pub(crate) struct Resolver {
    pub(crate) names: Arc<Names>,
    pub(crate) scope: Arc<RwLock<Arc<Scope>>>,
}

/// What its networks let a container see; another one once it is connected to more or fewer.
pub(crate) struct Scope {
    /// The networks that the container is in.
    pub(crate) vnis: Vec<u32>,
    /// Its own names for some of the others.
    pub(crate) links: BTreeMap<String, String>,
    pub(crate) upstream: Upstream,
}

impl Resolver {
    async fn answer(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let scope = self.scope.read().unwrap_or_else(PoisonError::into_inner).clone();
        match consider(query, &self.names, &scope)? {
            Verdict::Reply(answer) => Some(answer),
            Verdict::Forward(request) => match scope.upstream.ask(query, transport).await {
                Some(answer) => Some(answer),
                None => failure(&request, ResponseCode::ServFail),
            },
        }
    }
}

/// Answers until it is dropped.
#[derive(Debug)]
pub(crate) struct Server([AbortHandle; 2]);

impl Server {
    pub(crate) fn start(sockets: Sockets, resolver: Resolver) -> Result<Self> {
        let failed = |e: io::Error| Error::because("DNS sockets", e);
        let udp = Arc::new(UdpSocket::from_std(sockets.udp).map_err(failed)?);
        let tcp = TcpListener::from_std(sockets.tcp).map_err(failed)?;
        let resolver = Arc::new(resolver);
        let datagrams = tokio::spawn(datagrams(udp, resolver.clone())).abort_handle();
        Ok(Self([datagrams, tokio::spawn(connections(tcp, resolver)).abort_handle()]))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

async fn datagrams(socket: Arc<UdpSocket>, resolver: Arc<Resolver>) {
    let mut queries = JoinSet::new();
    let mut buffer = vec![0u8; 4096];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_) = queries.join_next() => continue,
        };
        // An error here is an ICMP message about an earlier answer: the container did not wait for it.
        let Ok((length, client)) = received else { continue };
        if queries.len() < QUERIES_MAX {
            queries.spawn(datagram(socket.clone(), resolver.clone(), buffer[..length].to_vec(), client));
        }
    }
}

async fn datagram(socket: Arc<UdpSocket>, resolver: Arc<Resolver>, query: Vec<u8>, client: SocketAddr) {
    if let Some(answer) = resolver.answer(&query, Transport::Udp).await {
        let _ = socket.send_to(&answer, client).await;
    }
}

async fn connections(listener: TcpListener, resolver: Arc<Resolver>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if open.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => drop(open.spawn(connection(stream, resolver.clone()))),
                Err(_) => sleep(Duration::from_millis(100)).await, // out of descriptors: don't spin
            },
            Some(_) = open.join_next() => {}
        }
    }
}

async fn connection(mut stream: TcpStream, resolver: Arc<Resolver>) -> io::Result<()> {
    loop {
        let length = timeout(IDLE, stream.read_u16()).await??;
        let mut query = vec![0u8; length.into()];
        timeout(IDLE, stream.read_exact(&mut query)).await??;
        let Some(answer) = resolver.answer(&query, Transport::Tcp).await else { return Ok(()) };
        let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
        framed.extend(answer);
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}
