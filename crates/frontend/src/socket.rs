//! Options of a client's TCP socket, and the watch for its death.
//!
//! A client that vanishes (no FIN) is found by keepalive within [`IDLE`] + 6 x [`INTERVAL`] = 90 s, one that stops
//! reading or acknowledging by the user timeout: at most 2 minutes until everything of it is freed.

use std::{io, os::fd::AsFd, time::Duration};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::{io::Interest, net::TcpStream};

const IDLE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_secs(10);
const PROBES: u32 = 6;
const USER_TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &(IDLE.as_secs() as u32))?;
    setsockopt(socket, sockopt::TcpKeepInterval, &(INTERVAL.as_secs() as u32))?;
    setsockopt(socket, sockopt::TcpKeepCount, &PROBES)?;
    setsockopt(socket, sockopt::TcpUserTimeout, &(USER_TIMEOUT.as_millis() as u32))?;
    Ok(())
}

/// Learns of the socket's death without reading from it: a client that has closed its sending side may still listen, so
/// end-of-file says nothing, and only an error (a reset, a keepalive that was not answered) does.
pub(crate) struct DeathWatch(TcpStream);

impl DeathWatch {
    pub(crate) fn new(socket: &TcpStream) -> io::Result<Self> {
        // A second descriptor of the same socket: the first belongs to the TLS stream.
        let descriptor = socket.as_fd().try_clone_to_owned()?;
        Ok(Self(TcpStream::from_std(descriptor.into())?))
    }

    /// Returns once the connection is broken.
    pub(crate) async fn died(&self) {
        // A failure of the runtime's own counts as well: nobody could be served.
        let _ = self.0.ready(Interest::ERROR).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn half_a_close_is_no_death_and_a_reset_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let mut client = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connect");
        let (server, _) = listener.accept().await.expect("accept");
        tune(&server).expect("options");
        let watch = DeathWatch::new(&server).expect("watch");
        tokio::io::AsyncWriteExt::shutdown(&mut client).await.expect("half a close");
        tokio::time::timeout(Duration::from_millis(100), watch.died()).await.expect_err("still alive");
        client.set_zero_linger().expect("linger");
        drop(client);
        tokio::time::timeout(Duration::from_secs(2), watch.died()).await.expect("dead");
    }
}
