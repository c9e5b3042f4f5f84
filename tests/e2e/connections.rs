//! The HTTP connection itself: how long it lives, and what ends it.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::client::TlsStream;

use crate::system::{Tenant, block_on};

async fn ping(connection: &mut TlsStream<TcpStream>) -> String {
    connection.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("write");
    let mut buffer = [0; 4096];
    let n = timeout(Duration::from_secs(10), connection.read(&mut buffer)).await.expect("in time").expect("read");
    String::from_utf8_lossy(&buffer[..n]).into_owned()
}

#[test]
fn a_kept_connection_rests_for_longer_than_a_head_may_take() {
    let t = Tenant::bare("conn");
    block_on(async {
        let mut connection = t.connect().await;
        assert!(ping(&mut connection).await.ends_with("OK"));
        sleep(Duration::from_secs(12)).await;
        assert!(ping(&mut connection).await.ends_with("OK"));
        // Byte by byte, as one who wants to hold the place.
        let began = Instant::now();
        while connection.write_all(b"G").await.is_ok() && began.elapsed() < Duration::from_secs(30) {
            if let Ok(Ok(0) | Err(_)) = timeout(Duration::from_millis(500), connection.read(&mut [0; 16])).await {
                break;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    });
}
