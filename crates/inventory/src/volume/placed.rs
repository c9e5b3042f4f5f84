//! What placement must know of volumes: who of them is on a host already, and who needs what of one.

use domain::{Error, HostId, NewVolume, Result, TenantId, VolumeDriver};
use uuid::Uuid;

use crate::{Inventory, failure};

/// A volume as it is, or as it would be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePlace {
    pub name: String,
    pub driver: VolumeDriver,
    pub size_bytes: Option<i64>,
    /// Where it is; None where it can still be anywhere.
    pub host: Option<HostId>,
}

const PLACES: &str = "SELECT name, driver, size_bytes, host_id FROM volumes WHERE tenant_id = $1 AND name = ANY ($2)";

impl Inventory {
    /// In the order of `wanted`. A guess, as every reading before a reservation.
    pub async fn volume_places(&self, tenant: TenantId, wanted: &[NewVolume]) -> Result<Vec<VolumePlace>> {
        let names: Vec<&str> = wanted.iter().map(|v| v.name.as_str()).collect();
        let query = || sqlx::query_as(PLACES).bind(tenant.0).bind(&names).fetch_all(&self.pool);
        let rows: Vec<(String, String, Option<i64>, Option<Uuid>)> = failure::retrying("find volumes", query).await?;
        let known = rows
            .into_iter()
            .map(|(name, driver, size_bytes, host)| {
                Ok(VolumePlace { name, driver: driver.parse()?, size_bytes, host: host.map(HostId) })
            })
            .collect::<Result<Vec<_>>>()?;
        let place = |new: &NewVolume| match known.iter().find(|k| k.name == new.name) {
            Some(known) => known.clone(),
            None => VolumePlace {
                name: new.name.clone(),
                driver: new.driver.unwrap_or(VolumeDriver::Local),
                size_bytes: new.size_bytes,
                host: None,
            },
        };
        Ok(wanted.iter().map(place).collect())
    }
}

/// Two volumes on two hosts: no container can have both.
pub fn apart(one: &str, other: &str) -> Error {
    Error::conflict(format!(
        "volumes {one} and {other} are kept in different places and cannot be mounted by one container; use the driver \
         \"shared\" for one of them, or copy its content into a new volume"
    ))
}
