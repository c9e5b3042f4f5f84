//! Container records: containerd is the agent's only database.
//!
//! A record's extensions hold what was asked for (`accepted`, never changed) and what became of it (`state`, rewritten at
//! each change). An update with the field mask `extensions.<key>` replaces that one extension; without a mask containerd
//! would take the whole record from the message.

use std::collections::HashMap;

use containerd_client::services::v1::{
    Container, CreateContainerRequest, DeleteContainerRequest, ListContainersRequest, UpdateContainerRequest,
    container::Runtime, containers_client::ContainersClient,
};
use domain::{Error, Result};
use prost_types::{Any, FieldMask};

use super::{Containerd, SNAPSHOTTER, failed, optional};

/// The stock shim, which talks to runc.
const RUNTIME: &str = "io.containerd.runc.v2";
const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
/// Type URLs of our extensions; containerd only keeps them.
const ACCEPTED: &str = "wharfinger.accepted";
const STATE: &str = "wharfinger.state";

/// A new container: its snapshot has the same key as its id.
#[derive(Debug)]
pub struct NewRecord<'a> {
    pub id: &'a str,
    pub labels: HashMap<String, String>,
    /// The runtime spec as JSON, where it is known already; else an update must bring it before the start.
    pub spec: Option<Vec<u8>>,
    /// JSON.
    pub accepted: Vec<u8>,
    /// JSON.
    pub state: Vec<u8>,
}

/// What containerd keeps of a container of ours.
#[derive(Debug)]
pub struct Record {
    pub id: String,
    pub accepted: Vec<u8>,
    pub state: Vec<u8>,
}

impl Containerd {
    fn containers(&self) -> ContainersClient<containerd_client::tonic::transport::Channel> {
        ContainersClient::new(self.channel.clone()).max_decoding_message_size(super::MESSAGE_MAX_BYTES)
    }

    /// True when it was made, false when a record of that id was there before.
    pub async fn create_record(&self, new: NewRecord<'_>) -> Result<bool> {
        let extension = |kind: &str, value| (kind.to_owned(), Any { type_url: kind.to_owned(), value });
        let container = Container {
            id: new.id.to_owned(),
            labels: new.labels,
            runtime: Some(Runtime { name: RUNTIME.to_owned(), options: None }),
            // containerd refuses a record without one.
            spec: Some(Any { type_url: SPEC_TYPE.to_owned(), value: new.spec.unwrap_or_else(|| b"{}".to_vec()) }),
            snapshotter: SNAPSHOTTER.to_owned(),
            snapshot_key: new.id.to_owned(),
            extensions: [extension(ACCEPTED, new.accepted), extension(STATE, new.state)].into(),
            ..Default::default()
        };
        let request = self.request(CreateContainerRequest { container: Some(container) });
        match self.containers().create(request).await {
            Ok(_) => Ok(true),
            Err(s) if s.code() == containerd_client::tonic::Code::AlreadyExists => Ok(false),
            Err(s) => Err(failed("containers.create", s)),
        }
    }

    /// Replaces the state, and the runtime spec where one is given, in one transaction. False: no such record.
    pub async fn update_record(&self, id: &str, state: Vec<u8>, spec: Option<Vec<u8>>) -> Result<bool> {
        let mut paths = vec![format!("extensions.{STATE}")];
        if spec.is_some() {
            paths.push("spec".to_owned());
        }
        let container = Container {
            id: id.to_owned(),
            spec: spec.map(|value| Any { type_url: SPEC_TYPE.to_owned(), value }),
            extensions: [(STATE.to_owned(), Any { type_url: STATE.to_owned(), value: state })].into(),
            ..Default::default()
        };
        let request = UpdateContainerRequest { container: Some(container), update_mask: Some(FieldMask { paths }) };
        let updated = self.containers().update(self.request(request)).await;
        Ok(optional("containers.update", updated)?.is_some())
    }

    /// All records of ours; a record without our extensions is not ours.
    pub async fn list_records(&self) -> Result<Vec<Record>> {
        let request = self.request(ListContainersRequest { filters: Vec::new() });
        let listed = self.containers().list(request).await.map_err(|s| failed("containers.list", s))?;
        Ok(listed.into_inner().containers.into_iter().filter_map(into_record).collect())
    }

    /// The process's runtime spec as stored; for exec, which starts from the container's own process.
    pub async fn record_spec(&self, id: &str) -> Result<oci_spec::runtime::Spec> {
        let request = containerd_client::services::v1::GetContainerRequest { id: id.to_owned() };
        let got = self.containers().get(self.request(request)).await.map_err(|s| failed("containers.get", s))?;
        let spec =
            got.into_inner().container.and_then(|c| c.spec).ok_or_else(|| Error::internal("record has no spec"))?;
        serde_json::from_slice(&spec.value).map_err(|e| Error::because("runtime spec of a record", e))
    }

    /// A record that is not there is fine.
    pub async fn delete_record(&self, id: &str) -> Result<()> {
        let request = self.request(DeleteContainerRequest { id: id.to_owned() });
        optional("containers.delete", self.containers().delete(request).await).map(drop)
    }
}

fn into_record(mut container: Container) -> Option<Record> {
    let accepted = container.extensions.remove(ACCEPTED)?.value;
    let state = container.extensions.remove(STATE)?.value;
    Some(Record { id: container.id, accepted, state })
}
