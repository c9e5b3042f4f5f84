//! UDP: a flow for each client, with a socket of its own towards the target, until it has been silent for a while.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::UdpSocket, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// As conntrack's for a stream of packets, nearly: longer than a client's retries.
const IDLE: Duration = Duration::from_secs(90);
const FLOWS_MAX: usize = 4096;
/// The largest datagram.
const DATAGRAM: usize = 65_535;

struct Flow {
    socket: Arc<UdpSocket>,
    _answers: AbortOnDropHandle<()>,
}

type Flows = Arc<Mutex<HashMap<SocketAddr, Flow>>>;

/// For ever; dropping it ends all flows.
pub(crate) async fn serve(socket: Arc<UdpSocket>, to: SocketAddr) {
    let flows = Flows::default();
    let mut datagram = vec![0u8; DATAGRAM];
    loop {
        let (length, client) = match socket.recv_from(&mut datagram).await {
            Ok(received) => received,
            // What an earlier answer met (the client is gone): not about this socket.
            Err(cause) => {
                tracing::debug!(%cause, "receive");
                continue;
            }
        };
        match flow(&flows, &socket, client, to).await {
            Ok(flow) => drop(flow.send(&datagram[..length]).await),
            Err(cause) => tracing::debug!(%client, %cause, "a datagram is lost"),
        }
    }
}

async fn flow(flows: &Flows, outer: &Arc<UdpSocket>, client: SocketAddr, to: SocketAddr) -> io::Result<Arc<UdpSocket>> {
    let known = |flows: &HashMap<SocketAddr, Flow>| flows.get(&client).map(|flow| flow.socket.clone());
    if let Some(socket) = known(&flows.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(socket);
    }
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = Arc::new(UdpSocket::bind((any, 0)).await?);
    socket.connect(to).await?;
    let answers = answers(socket.clone(), outer.clone(), client, flows.clone());
    let mut flows = flows.lock().unwrap_or_else(PoisonError::into_inner);
    if flows.len() >= FLOWS_MAX {
        return Err(io::Error::other("too many flows"));
    }
    let _answers = AbortOnDropHandle::new(tokio::spawn(answers));
    flows.insert(client, Flow { socket: socket.clone(), _answers });
    Ok(socket)
}

/// Until nothing has come back for a while: a client that only sends begins a new flow then, which costs it nothing.
async fn answers(inner: Arc<UdpSocket>, outer: Arc<UdpSocket>, client: SocketAddr, flows: Flows) {
    let mut datagram = vec![0u8; DATAGRAM];
    while let Ok(received) = timeout(IDLE, inner.recv(&mut datagram)).await {
        match received {
            Ok(length) => drop(outer.send_to(&datagram[..length], client).await),
            // Nobody listens in the container, or not yet: as without us, the client hears nothing.
            Err(cause) => tracing::debug!(%client, %cause, "answer"),
        }
    }
    flows.lock().unwrap_or_else(PoisonError::into_inner).remove(&client);
}
