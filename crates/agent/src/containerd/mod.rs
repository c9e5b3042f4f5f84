//! containerd's gRPC services, as the few verbs that an agent needs.
//!
//! Every call carries the namespace; without it containerd answers with an error that names no cause. All tenants share
//! one namespace, so that a layer is unpacked once: ids are unguessable and the agent checks whose container it is.
//! The channel reconnects by itself: while containerd is down, calls answer `Unavailable`.

mod containers;
mod content;
mod events;
mod place;
mod snapshots;
mod tasks;

use std::{path::Path, time::Duration};

use containerd_client::{
    services::v1::{DeleteRequest, leases_client::LeasesClient},
    tonic::{
        Code, Request, Status,
        transport::{Channel, Endpoint, Uri},
    },
};
use domain::{Error, Result};

pub use containers::{NewRecord, Record};
pub use events::{Event, Events};
pub use snapshots::{Mount, Snapshot, snapshots_dir};
pub use tasks::{Exit, NewExec, NewTask, RunError, Task, TaskState};

/// Tenants' ids are part of no name here: see the module's text.
pub const NAMESPACE: &str = "wharfinger";
/// The only snapshotter whose directories the idmapped mounts know.
pub const SNAPSHOTTER: &str = "overlayfs";
/// containerd refuses larger messages as well.
const MESSAGE_MAX_BYTES: usize = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A handle; clones share the connection.
#[derive(Debug, Clone)]
pub struct Containerd {
    channel: Channel,
    lease: Option<String>,
}

impl Containerd {
    /// Connects at the first call and again whenever the connection breaks.
    ///
    /// # Errors
    /// None in practice: the address is not looked at before the first call.
    pub fn new(socket: &Path) -> Result<Self> {
        let socket = socket.to_owned();
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
        });
        let endpoint = Endpoint::try_from("http://containerd").map_err(|e| Error::because("containerd endpoint", e))?;
        let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect_with_connector_lazy(connector);
        Ok(Self { channel, lease: None })
    }

    /// The same containerd, with everything it makes kept by `lease` until that is deleted.
    fn under(&self, lease: &str) -> Self {
        Self { lease: Some(lease.to_owned()), ..self.clone() }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata
            .insert("containerd-namespace", containerd_client::tonic::metadata::MetadataValue::from_static(NAMESPACE));
        if let Some(lease) = self.lease.as_deref().and_then(|l| l.parse().ok()) {
            metadata.insert("containerd-lease", lease);
        }
        request
    }

    /// Runs `work` under a fresh lease: what it makes is safe from the garbage collector until `work` is done.
    pub async fn leased<T, F: Future<Output = Result<T>>>(
        &self,
        name: &str,
        work: impl FnOnce(Self) -> F,
    ) -> Result<T> {
        let id = format!("{name}-{}", uuid::Uuid::new_v4());
        // Should we die in between, containerd drops the lease by itself.
        let expire = (chrono::Utc::now() + chrono::Duration::hours(1)).to_rfc3339();
        let labels = [("containerd.io/gc.expire".to_owned(), expire)].into();
        let create = containerd_client::services::v1::CreateRequest { id: id.clone(), labels };
        let mut leases = LeasesClient::new(self.channel.clone());
        leases.create(self.request(create)).await.map_err(|s| failed("leases.create", s))?;
        let result = work(self.under(&id)).await;
        let deleted = leases.delete(self.request(DeleteRequest { id, sync: false })).await;
        if let Err(status) = deleted {
            tracing::warn!(%status, "a lease stays until it expires");
        }
        result
    }

    /// Whether containerd answers.
    pub async fn ping(&self) -> Result<()> {
        let mut version = containerd_client::services::v1::version_client::VersionClient::new(self.channel.clone());
        version.version(self.request(())).await.map_err(|s| failed("version", s))?;
        Ok(())
    }
}

/// A status of containerd as our error: `Unavailable` when it does not answer, `Internal` otherwise.
fn failed(call: &'static str, status: Status) -> Error {
    if unreachable(&status) {
        return Error::unavailable_because("the host's container runtime is restarting, try again", status);
    }
    Error::because(format!("containerd {call}"), status)
}

/// The connection broke, as opposed to an answer.
fn unreachable(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => true,
        // tonic wraps a broken connection as Unknown with a transport error behind it.
        Code::Unknown | Code::Internal => std::error::Error::source(status).is_some(),
        _ => false,
    }
}

/// `NotFound` as `None`.
fn optional<T>(call: &'static str, result: Result<T, Status>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(failed(call, status)),
    }
}
