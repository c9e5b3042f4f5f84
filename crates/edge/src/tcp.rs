//! One TCP connection: to its target, and bytes both ways until both sides have closed.

use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use crate::{
    listener::Target,
    pipe::{Broken, copy},
    proxy_header::header,
    socket,
};

const CONNECT: Duration = Duration::from_secs(5);
/// How long what a side said before it left may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// `turn` counts the listener's connections.
pub(crate) async fn serve(client: TcpStream, from: SocketAddr, target: Target, turn: usize) -> io::Result<()> {
    socket::tune(&client)?;
    let (targets, with_header): (&[SocketAddr], bool) = match &target {
        Target::Host { to, proxy_header } => (std::slice::from_ref(to), *proxy_header),
        Target::Frontends(all) => (all, true),
    };
    let mut inner = connect(targets, turn).await?;
    if with_header {
        inner.write_all(&header(from, client.local_addr()?)).await?;
    }
    let outcome = both(&client, &inner).await;
    if outcome.is_err() {
        // A reset, or a peer that is gone, is told as such: an end-of-file would mean that it has merely said all it had to.
        for stream in [&client, &inner] {
            let _ = stream.set_zero_linger();
        }
    }
    outcome
}

/// Both directions. Who asks and leaves before it has heard everything has still asked: when one side takes no more, what
/// it said before goes on its way.
async fn both(client: &TcpStream, inner: &TcpStream) -> io::Result<()> {
    let (mut up, mut down) = (pin!(copy(client, inner)), pin!(copy(inner, client)));
    let (first, other): (_, Pin<&mut (dyn Future<Output = _> + Send)>) = tokio::select! {
        first = &mut up => (first, down),
        first = &mut down => (first, up),
    };
    match first {
        Ok(()) => other.await.map_err(Broken::cause),
        Err(Broken::Source(cause)) => Err(cause),
        Err(Broken::Sink(cause)) => {
            let _ = timeout(LAST_WORDS, other).await;
            Err(cause)
        }
    }
}

/// The one whose turn it is, else the next ones.
async fn connect(targets: &[SocketAddr], turn: usize) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotConnected, "no target");
    for n in 0..targets.len() {
        match timeout(CONNECT, TcpStream::connect(targets[(turn + n) % targets.len()])).await {
            Ok(Ok(stream)) => {
                socket::tune(&stream)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}
