//! Tenants' volumes: names, where they are, and who mounts them.
//!
//! Whatever changes a volume or its mounts locks the tenant's row first, so that "in use" and "on which host" are exact:
//! two creates that are the first to use a volume end on one host, and a volume never goes while a create takes it.

mod create;
mod find;
mod placed;
mod remove;
mod removed;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{ContainerId, Error, Event, EventType, HostId, Result, VolumeDriver, VolumeId};
use sqlx::types::Json;
use uuid::Uuid;

pub use placed::{VolumePlace, apart};
pub use removed::RemovedVolume;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub id: VolumeId,
    pub name: String,
    pub driver: VolumeDriver,
    pub labels: BTreeMap<String, String>,
    /// Docker's `Options`, as given.
    pub options: BTreeMap<String, String>,
    /// Quota.
    pub size_bytes: Option<i64>,
    /// Of a local volume that was used once.
    pub host: Option<HostId>,
    /// Containers that mount it, running or not, the oldest first.
    pub users: Vec<ContainerId>,
    pub created_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct VolumeRow {
    id: Uuid,
    name: String,
    driver: String,
    labels: Json<BTreeMap<String, String>>,
    options: Json<BTreeMap<String, String>>,
    size_bytes: Option<i64>,
    host_id: Option<Uuid>,
    users: Vec<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<VolumeRow> for Volume {
    type Error = Error;
    fn try_from(row: VolumeRow) -> Result<Self> {
        Ok(Self {
            id: VolumeId(row.id),
            name: row.name,
            driver: row.driver.parse()?,
            labels: row.labels.0,
            options: row.options.0,
            size_bytes: row.size_bytes,
            host: row.host_id.map(HostId),
            users: row.users.into_iter().map(|id| id.parse()).collect::<Result<_>>()?,
            created_at: row.created_at,
        })
    }
}

/// `create` and `destroy`; dockerd tells no labels of a volume.
pub(crate) fn event(action: &str, name: &str, driver: &str) -> Event {
    Event::new(EventType::Volume, action, name).with("driver", driver)
}
