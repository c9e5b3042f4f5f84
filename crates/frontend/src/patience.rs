//! How long a connection may be silent: between requests for minutes, in the middle of a request's head for seconds.
//!
//! hyper has one timeout for both, which begins with the wait for a head. Here its timer asks how many bytes have come since:
//! SDKs keep connections for their next call, and one that was cut meanwhile costs them an error on calls that they may not
//! repeat; a client that sends its head byte by byte holds a place for nothing. The first head has no such grace.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// For a request's head, from its first byte (of a connection's first request: from the handshake).
const HEAD: Duration = Duration::from_secs(10);
/// Between two requests. dockerd has no limit here; a client that has vanished is found by TCP's keepalive long before.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// Both waits, shortened by tests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    head: Duration,
    idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: HEAD, idle: IDLE }
    }
}

impl Patience {
    /// The stream to give to hyper, and the timer that goes with it.
    pub(crate) fn over<S>(self, stream: S) -> (Counted<S>, HeadTimer) {
        let received = Arc::new(AtomicU64::new(0));
        (Counted { stream, received: received.clone() }, HeadTimer { patience: self, received })
    }

    /// For hyper's builder, which needs to be told a number; the timer knows better.
    pub(crate) fn head(self) -> Duration {
        self.head
    }
}

/// Counts the bytes that come in.
pub(crate) struct Counted<S> {
    stream: S,
    received: Arc<AtomicU64>,
}

impl<S> Counted<S> {
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// hyper's timer of one connection. hyper starts a sleep when it begins to wait for a head, polls it after each read that
/// has not completed the head, and drops it with the head.
pub(crate) struct HeadTimer {
    patience: Patience,
    received: Arc<AtomicU64>,
}

impl HeadTimer {
    fn begin(&self) -> HeadSleep {
        let received_before = self.received.load(Ordering::Relaxed);
        let wait = if received_before == 0 { self.patience.head } else { self.patience.idle };
        HeadSleep {
            received: self.received.clone(),
            received_before,
            in_head: received_before == 0,
            head: self.patience.head,
            sleep: Box::pin(tokio::time::sleep(wait)),
        }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(self.begin())
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(self.begin())
    }
}

struct HeadSleep {
    received: Arc<AtomicU64>,
    received_before: u64,
    /// The head's first byte has come.
    in_head: bool,
    head: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.in_head && self.received.load(Ordering::Relaxed) != self.received_before {
            self.in_head = true;
            let deadline = tokio::time::Instant::now() + self.head;
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper::{server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        time::{sleep, timeout},
    };

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A connection that is served with 200 ms for a head and a second between requests.
    fn served() -> DuplexStream {
        let (client, server) = tokio::io::duplex(64 << 10);
        let (stream, timer) = Patience { head: 200 * MS, idle: 1000 * MS }.over(server);
        let service = service_fn(|_| async { Ok::<_, Infallible>(hyper::Response::new("ok".to_owned())) });
        let http = http1::Builder::new()
            .timer(timer)
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(http);
        client
    }

    async fn ask(client: &mut DuplexStream) -> String {
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("write");
        let mut buffer = [0; 1024];
        let n = client.read(&mut buffer).await.expect("read");
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    }

    async fn is_closed_within(client: &mut DuplexStream, wait: Duration) -> bool {
        matches!(timeout(wait, client.read(&mut [0; 16])).await, Ok(Ok(0) | Err(_)))
    }

    #[tokio::test]
    async fn a_connection_may_rest_between_requests() {
        let mut client = served();
        for _ in 0..3 {
            assert!(ask(&mut client).await.ends_with("ok"));
            sleep(400 * MS).await;
        }
        assert!(is_closed_within(&mut client, 2000 * MS).await, "but not for ever");
    }

    #[tokio::test]
    async fn a_head_that_trickles_in_is_cut_off() {
        let mut client = served();
        assert!(ask(&mut client).await.ends_with("ok"));
        sleep(300 * MS).await;
        let mut sent = 0;
        while client.write_all(b"G").await.is_ok() && sent < 20 {
            sent += 1;
            sleep(50 * MS).await;
        }
        assert!(sent < 10, "{sent} bytes of a head were waited for");
    }

    #[tokio::test]
    async fn the_first_head_is_not_waited_for_as_long() {
        assert!(is_closed_within(&mut served(), 600 * MS).await);
    }
}
