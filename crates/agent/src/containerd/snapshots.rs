//! Snapshots: the layers of images (committed, named by chain id) and the containers' own (active, named by container id).
//!
//! All of them are garbage-collection roots. A container's snapshot would otherwise be collected if any delete ran
//! between its Prepare and the record that refers to it; as a root it needs no lease, which saves two calls and a
//! collection for each container. The price: who makes one must remove it, and adoption looks for orphans.

use std::collections::HashMap;

use containerd_client::{
    services::v1::snapshots::{
        CommitSnapshotRequest, Info, Kind, ListSnapshotsRequest, MountsRequest, PrepareSnapshotRequest,
        RemoveSnapshotRequest, StatSnapshotRequest, snapshots_client::SnapshotsClient,
    },
    tonic::{Code, transport::Channel},
};
use domain::{Error, Result};

pub use containerd_client::types::Mount;

use super::{Containerd, SNAPSHOTTER, failed, optional};

/// One snapshot, as a list shows it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// A chain id, a container's id, or a key of ours.
    pub name: String,
    /// Empty: none.
    pub parent: String,
    /// Read-only: a layer.
    pub committed: bool,
}

const ROOT_LABEL: &str = "containerd.io/gc.root";

fn root_label() -> HashMap<String, String> {
    [(ROOT_LABEL.to_owned(), chrono::Utc::now().to_rfc3339())].into()
}

impl Containerd {
    fn snapshots(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.channel.clone())
    }

    /// A writable snapshot on `parent` (a chain id, or `""` for an empty root). None: there is no such parent.
    /// A snapshot of that key that exists already is given back: create is idempotent.
    pub async fn prepare(&self, key: &str, parent: &str) -> Result<Option<Vec<Mount>>> {
        let request = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            labels: root_label(),
        };
        match self.snapshots().prepare(self.request(request)).await {
            Ok(prepared) => Ok(Some(prepared.into_inner().mounts)),
            Err(s) if s.code() == Code::NotFound => Ok(None),
            Err(s) if s.code() == Code::AlreadyExists => self.mounts(key).await.map(Some),
            Err(s) => Err(failed("snapshots.prepare", s)),
        }
    }

    /// The mounts of an active snapshot.
    pub async fn mounts(&self, key: &str) -> Result<Vec<Mount>> {
        let request = MountsRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        let got = self.snapshots().mounts(self.request(request)).await.map_err(|s| failed("snapshots.mounts", s))?;
        Ok(got.into_inner().mounts)
    }

    /// Makes the active snapshot `key` the committed layer `name`; one that is there already wins.
    pub async fn commit(&self, key: &str, name: &str) -> Result<()> {
        let request = CommitSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
            labels: root_label(),
        };
        match self.snapshots().commit(self.request(request)).await {
            Ok(_) => Ok(()),
            Err(s) if s.code() == Code::AlreadyExists => self.remove_snapshot(key).await,
            Err(s) => Err(failed("snapshots.commit", s)),
        }
    }

    /// Whether a committed layer `name` exists.
    pub async fn has_layer(&self, name: &str) -> Result<bool> {
        let request = StatSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: name.to_owned() };
        let stat = optional("snapshots.stat", self.snapshots().stat(self.request(request)).await)?;
        let info = stat.and_then(|s| s.into_inner().info);
        Ok(info.is_some_and(|info: Info| info.kind() == Kind::Committed))
    }

    /// A snapshot that is not there is fine.
    pub async fn remove_snapshot(&self, key: &str) -> Result<()> {
        let request = RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        optional("snapshots.remove", self.snapshots().remove(self.request(request)).await).map(drop)
    }

    /// All of them.
    pub async fn list_snapshots(&self) -> Result<Vec<Snapshot>> {
        let request = ListSnapshotsRequest { snapshotter: SNAPSHOTTER.to_owned(), filters: Vec::new() };
        let listed = self.snapshots().list(self.request(request)).await.map_err(|s| failed("snapshots.list", s))?;
        let mut stream = listed.into_inner();
        let mut all = Vec::new();
        while let Some(batch) = stream.message().await.map_err(|s| failed("snapshots.list", s))? {
            all.extend(batch.info.into_iter().map(|i| Snapshot {
                committed: i.kind() == Kind::Committed,
                name: i.name,
                parent: i.parent,
            }));
        }
        Ok(all)
    }

    /// False: something stands on it. A snapshot that is not there is removed.
    pub async fn remove_unused_snapshot(&self, key: &str) -> Result<bool> {
        let request = RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        match self.snapshots().remove(self.request(request)).await {
            Err(s) if s.code() == Code::FailedPrecondition => Ok(false),
            removed => optional("snapshots.remove", removed).map(|_| true),
        }
    }

    /// Keys of the active snapshots: containers', and what a crash left of an unpacking.
    pub async fn active_snapshots(&self) -> Result<Vec<String>> {
        let request =
            ListSnapshotsRequest { snapshotter: SNAPSHOTTER.to_owned(), filters: vec!["kind==active".into()] };
        let listed = self.snapshots().list(self.request(request)).await.map_err(|s| failed("snapshots.list", s))?;
        let mut stream = listed.into_inner();
        let mut keys = Vec::new();
        while let Some(batch) = stream.message().await.map_err(|s| failed("snapshots.list", s))? {
            keys.extend(batch.info.into_iter().filter(|i| i.kind() == Kind::Active).map(|i| i.name));
        }
        Ok(keys)
    }
}

/// The directory that holds all snapshots, read from an overlay's or a bind's mount: `<root>/.../snapshots`.
///
/// # Errors
/// `Internal` for a mount of another form.
pub fn snapshots_dir(mounts: &[Mount]) -> Result<String> {
    let paths = mounts.iter().flat_map(|m| {
        let options = m.options.iter().filter_map(|o| o.strip_prefix("upperdir=").or(o.strip_prefix("lowerdir=")));
        options.chain((m.r#type == "bind").then_some(m.source.as_str()))
    });
    const MARK: &str = "/snapshots/";
    paths
        .filter_map(|path| path.find(MARK).map(|at| path[..at + MARK.len() - 1].to_owned()))
        .next()
        .ok_or_else(|| Error::internal(format!("unexpected snapshot mounts: {mounts:?}")))
}
