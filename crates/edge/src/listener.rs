//! One address, protocol and port that is served, until it is dropped: then its connections end as well.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use domain::{Error, Protocol, Result};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::Semaphore,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{socket, table::Frontends, tcp, udp};

/// Connections of one port at once; the next ones are closed.
const CONNECTIONS_MAX: usize = 65_536;

/// Where connections go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A port of the container's host.
    Host { to: SocketAddr, proxy_header: bool },
    /// The Docker API: to one frontend after the other, with a header.
    Frontends(Frontends),
}

#[derive(Clone)]
enum Socket {
    Tcp(Arc<TcpListener>),
    Udp(Arc<UdpSocket>),
}

pub(crate) struct Listener {
    socket: Socket,
    target: Target,
    /// Cancelled: no new connections.
    accepting: CancellationToken,
    _connections: DropGuard,
}

impl Listener {
    /// Bound when this returns.
    ///
    /// # Errors
    /// `Conflict` when the port is somebody else's on this machine.
    pub(crate) fn open(at: SocketAddr, protocol: Protocol, target: Target, tasks: &TaskTracker) -> Result<Self> {
        let failed = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::AddrInUse => Error::conflict(format!("{at}: address already in use at the edge")),
            _ => Error::because(format!("cannot listen on {at}"), e),
        };
        let socket = match protocol {
            Protocol::Udp => Socket::Udp(Arc::new(socket::udp(at).map_err(failed)?)),
            Protocol::Tcp => Socket::Tcp(Arc::new(socket::listen(at).map_err(failed)?)),
        };
        Ok(Self::serve(socket, target, tasks))
    }

    /// The same socket, so that nobody who calls meanwhile finds it closed; the connections to the old target end.
    pub(crate) fn lead_to(&mut self, target: Target, tasks: &TaskTracker) {
        *self = Self::serve(self.socket.clone(), target, tasks);
    }

    fn serve(socket: Socket, target: Target, tasks: &TaskTracker) -> Self {
        let (accepting, alive) = (CancellationToken::new(), CancellationToken::new());
        match (socket.clone(), target.clone()) {
            (Socket::Udp(socket), Target::Host { to, .. }) => {
                tasks.spawn(alive.clone().run_until_cancelled_owned(udp::serve(socket, to)));
            }
            // The API is TCP alone.
            (Socket::Udp(_), Target::Frontends(_)) => {}
            (Socket::Tcp(listener), target) => {
                let accept = accept(listener, target, tasks.clone(), alive.clone());
                let (accepting, alive) = (accepting.clone(), alive.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        // First, so that what has not been accepted is the next target's.
                        biased;
                        () = accepting.cancelled() => {}
                        () = alive.cancelled() => {}
                        () = accept => {}
                    }
                });
            }
        }
        Self { socket, target, accepting, _connections: alive.drop_guard() }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Takes no new connections.
    pub(crate) fn close(&self) {
        self.accepting.cancel();
    }
}

async fn accept(listener: Arc<TcpListener>, target: Target, tasks: TaskTracker, alive: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut turn = 0;
    loop {
        match listener.accept().await {
            Ok((client, from)) => {
                let Ok(place) = places.clone().try_acquire_owned() else { continue };
                turn += 1;
                let served = tcp::serve(client, from, target.clone(), turn);
                let alive = alive.clone();
                tasks.spawn(async move {
                    if let Some(Err(cause)) = alive.run_until_cancelled(served).await {
                        tracing::debug!(%from, %cause, "connection");
                    }
                    drop(place);
                });
            }
            // Out of descriptors, mostly: others are about to be freed.
            Err(cause) => {
                tracing::warn!(%cause, "accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
