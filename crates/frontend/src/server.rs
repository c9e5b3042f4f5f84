//! The listener of the Docker endpoint: TLS with client certificates, then HTTP/1.1 with upgrades.
//!
//! Timeouts at each stage, so that no client holds a place for nothing: 5 s for the handshake, 10 s for a request's head
//! (`patience`, which lets a connection rest between its requests).
//! A plain HTTP request on this port gets the answer that Go's server gives. `half_close` stays off: as with dockerd, a
//! client that closes its side of a connection while it waits for an answer has given it up (its `wait` or `logs -f` ends);
//! an upgraded connection is no longer hyper's, and half-closes freely.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use domain::{Error, Result};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use identity::{EndpointIssuer, Gate};
use images::{BlobStore, Images, Registries, RegistrySettings};
use inventory::Inventory;
use rpc::Channels;
use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    blobs, collector,
    config::Config,
    events::Tail,
    handlers::{build::abandoned, system::info::KnownCapacity},
    patience::{Counted, Patience},
    proxied, routes,
    serve::{self, Door},
    snapshot::Snapshots,
    socket,
    state::{App, Parts},
};

const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long running requests and streams may go on after a shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(30);
/// How often the credential of an open connection is looked at, whatever streams over it. The gate asks the inventory
/// twice a second for all of a credential's connections, so that this is cheap; together a revocation takes 750 ms.
const RECHECK: Duration = Duration::from_millis(250);
/// Request line and headers together; more is 431.
const HEAD_MAX_BYTES: usize = 64 << 10;

/// What hyper serves, and hands out again when a connection is taken over.
pub(crate) type ClientIo = TokioIo<Counted<TlsStream<TcpStream>>>;

/// What a request's handlers may know of its connection.
pub(crate) struct Connection {
    /// The verified client certificate, leaf first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Cancelled when the credential is revoked: streams that were taken over end.
    pub(crate) revoked: CancellationToken,
    /// Tasks that outlive the HTTP connection (hijacked streams), for the drain.
    pub(crate) tasks: TaskTracker,
}

pub(crate) async fn run(config: Config, shutdown: CancellationToken) -> Result<()> {
    let tls = identity::endpoint_server_config(&config.endpoint_cert, &config.endpoint_key, &config.client_ca)?;
    let app = assemble(config, shutdown.clone()).await?;
    let listener = bind(app.config.listen).await?;
    let internal = bind(app.config.internal_listen).await?;
    let proxied = match app.config.proxied_listen {
        Some(address) => Some((bind(address).await?, issuer(&app.config, tls.clone())?)),
        None => None,
    };
    let tasks = TaskTracker::new();
    let blobs = tokio::spawn(blobs::serve(app.clone(), internal, shutdown.clone()));
    tokio::spawn(collector::run(app.clone(), shutdown.clone()));
    let (tail, stop) = (app.tail.clone(), shutdown.clone());
    tokio::spawn(async move { tail.run(stop).await });
    tokio::spawn(abandoned::run(app.clone(), shutdown.clone()));
    announce(&app)?;
    let door = Arc::new(Door { router: routes::router(app.clone()), app });
    let own = accept(&door, listener, Tls::Endpoint(tls), &tasks, &shutdown);
    match proxied {
        Some((listener, issuer)) => {
            tokio::join!(own, accept(&door, listener, Tls::Proxied(issuer), &tasks, &shutdown));
        }
        None => own.await,
    }
    bootstrap::ready::withdraw(door.app.config.ready_file.as_deref());
    tasks.close();
    if timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!(open = tasks.len(), "connections were still open after the drain");
    }
    blobs.await.map_err(|e| Error::because("the blob listener's task", e))?
}

async fn assemble(config: Config, stop: CancellationToken) -> Result<App> {
    let inventory = Inventory::connect(&config.database_url, config.max_connections).await?;
    let registries = Registries::new(RegistrySettings {
        insecure: config.insecure_registries.clone(),
        mirrors: config.registry_mirrors.clone(),
        search_index: config.search_index.clone(),
    })?;
    let blobs = BlobStore::open(&config.blob_store)?.with_ledger(inventory.clone());
    let tail = Arc::new(Tail::new(inventory.clone()));
    Ok(App::new(Parts {
        gate: Gate::new(inventory.clone()),
        channels: Channels::new(config.tls.clone()),
        images: Images::new(inventory.clone(), blobs.clone(), registries.clone()),
        inventory,
        registries,
        blobs,
        scheduler: AtomicUsize::new(0),
        capacity: KnownCapacity::default(),
        snapshots: Snapshots::default(),
        tail,
        stop,
        config,
    }))
}

fn announce(app: &App) -> Result<()> {
    tracing::info!(listen = %app.config.listen, internal = %app.config.internal_listen, "frontend serves");
    bootstrap::ready::announce(app.config.ready_file.as_deref()).map_err(|e| Error::because("ready file", e))
}

fn issuer(config: &Config, tls: Arc<ServerConfig>) -> Result<Arc<EndpointIssuer>> {
    EndpointIssuer::open(&config.endpoint_issuer_cert, &config.endpoint_issuer_key, tls).map(Arc::new)
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| Error::because(format!("cannot listen on {address}"), e))
}

/// Which certificate a client sees.
#[derive(Clone)]
enum Tls {
    Endpoint(Arc<ServerConfig>),
    /// The one of the address that it dialled, as an edge tells it.
    Proxied(Arc<EndpointIssuer>),
}

impl Tls {
    async fn acceptor(self, socket: &mut TcpStream) -> io::Result<TlsAcceptor> {
        match self {
            Self::Endpoint(config) => Ok(config.into()),
            Self::Proxied(issuer) => {
                let ends = proxied::read(socket).await?;
                tracing::debug!(client = %ends.client, dialled = %ends.dialled, "by an edge");
                issuer.config(ends.dialled.ip()).map(Into::into).map_err(io::Error::other)
            }
        }
    }
}

async fn accept(door: &Arc<Door>, listener: TcpListener, tls: Tls, tasks: &TaskTracker, shutdown: &CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) => {
                let (door, tls, shutdown) = (door.clone(), tls.clone(), shutdown.clone());
                let connection = connection(door, socket, tls, tasks.clone(), shutdown);
                tasks.spawn(async move {
                    if let Err(cause) = connection.await {
                        tracing::debug!(%cause, "connection");
                    }
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

async fn connection(
    door: Arc<Door>,
    mut socket: TcpStream,
    tls: Tls,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) -> io::Result<()> {
    socket::tune(&socket)?;
    let greeted = async {
        let tls = tls.acceptor(&mut socket).await?;
        handshake(socket, tls).await
    };
    let Some(stream) = timeout(HANDSHAKE, greeted).await?? else { return Ok(()) };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned());
    let connection =
        Arc::new(Connection { chain: chain.collect(), revoked: CancellationToken::new(), tasks: tasks.clone() });
    // Not one of the tasks: it watches through the drain, which does not wait for it.
    tokio::spawn(watch_credential(door.app.clone(), Arc::downgrade(&connection)));
    serve_http(door, stream, connection, shutdown).await
}

/// None: it was plain HTTP, and has been told so.
async fn handshake(socket: TcpStream, tls: TlsAcceptor) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut head = [0u8; 5];
    socket.peek(&mut head[..1]).await?;
    /// TLS: the content type of a handshake record.
    const HANDSHAKE_RECORD: u8 = 22;
    if head[0] == HANDSHAKE_RECORD {
        return tls.accept(socket).await.map(Some);
    }
    refuse_plain_http(socket, &mut head).await.map(|()| None)
}

/// The answer of Go's `net/http`, for the same five openings of a request line; everything else is just closed.
async fn refuse_plain_http(mut socket: TcpStream, head: &mut [u8; 5]) -> io::Result<()> {
    socket.read_exact(head).await?;
    if [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"].contains(&&*head) {
        socket.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n").await?;
        socket.shutdown().await?;
        // Close with nothing unread, or the kernel resets the connection and the client may lose the answer.
        let (mut rest, mut nowhere) = (socket.take(HEAD_MAX_BYTES as u64), tokio::io::sink());
        let _ = timeout(Duration::from_secs(1), tokio::io::copy(&mut rest, &mut nowhere)).await;
    }
    Ok(())
}

async fn serve_http(
    door: Arc<Door>,
    stream: TlsStream<TcpStream>,
    connection: Arc<Connection>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let revoked = connection.revoked.clone();
    let service = service_fn(move |request| {
        let answer = serve::answer(door.clone(), connection.clone(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let patience = Patience::default();
    let (stream, timer) = patience.over(stream);
    let http = http1::Builder::new()
        .timer(timer)
        .header_read_timeout(patience.head())
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut http = std::pin::pin!(http);
    let served = async {
        tokio::select! {
            served = http.as_mut() => return served,
            () = shutdown.cancelled() => http.as_mut().graceful_shutdown(),
        }
        http.await
    };
    // Through the drain too.
    tokio::select! {
        served = served => served.map_err(io::Error::other),
        () = revoked.cancelled() => Ok(()),
    }
}

/// Cuts a connection off once its credential is revoked, also in the middle of a stream. An inventory that cannot be asked
/// cuts nobody off.
async fn watch_credential(app: App, connection: std::sync::Weak<Connection>) {
    loop {
        tokio::time::sleep(RECHECK).await;
        let Some(connection) = connection.upgrade() else { return };
        if let Err(Error::Unauthenticated(why)) = app.gate.admit(&connection.chain).await {
            tracing::info!(why, "connection cut");
            return connection.revoked.cancel();
        }
    }
}
