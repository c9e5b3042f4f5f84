//! One address, protocol and port that is served, until it is dropped: then its connections end as well.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use domain::{Error, Protocol, Result};
use tokio::{net::TcpListener, sync::Semaphore};
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

pub(crate) struct Listener {
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
        let (accepting, alive) = (CancellationToken::new(), CancellationToken::new());
        let failed = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::AddrInUse => Error::conflict(format!("{at}: address already in use at the edge")),
            _ => Error::because(format!("cannot listen on {at}"), e),
        };
        match (protocol, &target) {
            (Protocol::Udp, Target::Host { to, .. }) => {
                let socket = socket::udp(at).map_err(failed)?;
                tasks.spawn(alive.clone().run_until_cancelled_owned(udp::serve(socket, *to)));
            }
            _ => {
                let accept = accept(socket::listen(at).map_err(failed)?, target.clone(), tasks.clone(), alive.clone());
                let (accepting, alive) = (accepting.clone(), alive.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = accept => {}
                        () = accepting.cancelled() => {}
                        () = alive.cancelled() => {}
                    }
                });
            }
        }
        Ok(Self { target, accepting, _connections: alive.drop_guard() })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Takes no new connections.
    pub(crate) fn close(&self) {
        self.accepting.cancel();
    }
}

async fn accept(listener: TcpListener, target: Target, tasks: TaskTracker, alive: CancellationToken) {
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
