//! What no real registry does when asked to: a proxy that counts and cuts, and a server that lies.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// Forwards to a registry; remembers request lines, and cuts the first `cuts` answers after `cut_after` bytes.
pub(crate) struct Proxy {
    pub(crate) host: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Passes so many bytes of each answer, and then nothing more, with the connection open.
    pub(crate) async fn stalling(to: &str, after: usize) -> Self {
        Self::with(to, usize::MAX, after, true).await
    }

    pub(crate) async fn start(to: &str, cuts: usize, cut_after: usize) -> Self {
        Self::with(to, cuts, cut_after, false).await
    }

    async fn with(to: &str, cuts: usize, cut_after: usize, stall: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let host = listener.local_addr().expect("address").to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (to, seen, cuts) = (to.to_owned(), Arc::clone(&requests), Arc::new(AtomicUsize::new(cuts)));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, to.clone(), Arc::clone(&seen), Arc::clone(&cuts), cut_after, stall));
            }
        });
        Self { host, requests }
    }

    /// How many request lines begin so.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.requests.lock().expect("requests").iter().filter(|line| line.starts_with(start)).count()
    }
}

async fn forward(
    client: TcpStream,
    to: String,
    seen: Arc<Mutex<Vec<String>>>,
    cuts: Arc<AtomicUsize>,
    cut_after: usize,
    stall: bool,
) {
    let server = TcpStream::connect(&to).await.expect("registry");
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move {
        let (mut from_client, mut bytes) = (from_client, vec![0u8; 64 << 10]);
        while let Ok(n @ 1..) = from_client.read(&mut bytes).await {
            // A body's end need not be the end of a line, and a head comes as a whole.
            let text = String::from_utf8_lossy(&bytes[..n]);
            let heads = text.lines().filter(|l| l.starts_with("GET ") || l.starts_with("HEAD "));
            seen.lock().expect("requests").extend(heads.map(str::to_owned));
            if to_server.write_all(&bytes[..n]).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0u8; 16 << 10];
    let mut passed = 0;
    while let Ok(n @ 1..) = from_server.read(&mut buffer).await {
        passed += n;
        if to_client.write_all(&buffer[..n]).await.is_err() {
            return;
        }
        let left = cuts.load(Ordering::SeqCst);
        if passed > cut_after
            && left > 0
            && cuts.compare_exchange(left, left - 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            if stall {
                std::future::pending::<()>().await;
            }
            return;
        }
    }
}

/// Answers by a function of method, path and `Authorization`: status, headers, body.
pub(crate) struct Server {
    pub(crate) host: String,
}

pub(crate) type Reply = (u16, String, Vec<u8>);

impl Server {
    pub(crate) async fn start(answer: impl Fn(&str, &str, &str, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let host = listener.local_addr().expect("address").to_string();
        let (answer, own) = (Arc::new(answer), host.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (answer, own) = (Arc::clone(&answer), own.clone());
                tokio::spawn(async move { serve(client, &own, answer.as_ref()).await });
            }
        });
        Self { host }
    }
}

async fn serve(client: TcpStream, own: &str, answer: &(impl Fn(&str, &str, &str, &str) -> Reply + Send + Sync)) {
    let (from, mut to) = client.into_split();
    let mut lines = BufReader::new(from).lines();
    let Ok(Some(first)) = lines.next_line().await else { return };
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut authorization = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("authorization: ") {
            authorization = line[line.len() - value.len()..].to_owned();
        }
    }
    let (status, headers, body) = answer(own, &method, &path, &authorization);
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    let _ = to.write_all(head.as_bytes()).await;
    if method != "HEAD" {
        let _ = to.write_all(&body).await;
    }
}
