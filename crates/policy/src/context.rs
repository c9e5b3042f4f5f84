//! What `create` must know besides the request.

use std::collections::BTreeMap;

use docker_api::types::ContainerConfig;
use domain::{
    ContainerId, ContainerName, ImageRootfs, Result,
    error::Error,
    spec::{LogDriver, VolumeMount},
};
use serde::Deserialize;

use crate::Package;

/// The image, as the tenant's catalogue has it.
#[derive(Debug, Clone)]
pub struct ImageFacts {
    pub image: ImageRootfs,
    /// Of the image's config blob; the default where it has none.
    pub config: ContainerConfig,
}

impl ImageFacts {
    /// Out of the image's config blob. Lenient: images carry fields of many builders, and only known ones are used.
    pub fn read(image: ImageRootfs, config_blob: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Blob {
            config: Option<ContainerConfig>,
        }
        let blob: Blob = serde_json::from_slice(config_blob)
            .map_err(|e| Error::invalid(format!("invalid image configuration: {e}")))?;
        Ok(Self { image, config: blob.config.unwrap_or_default() })
    }
}

/// See [`crate::create`].
#[derive(Debug)]
pub struct CreateContext<'a> {
    pub package: &'a Package,
    pub image: &'a ImageFacts,
    /// Chosen by the frontend; gives the default host name and the names of anonymous volumes.
    pub id: &'a ContainerId,
    pub name: &'a ContainerName,
    pub default_log: LogDriver,
    /// Host ports that no container may publish.
    pub reserved_ports: &'a [u16],
    /// For each container in `HostConfig.VolumesFrom`, as written there before the colon: its volumes.
    pub volumes_from: &'a BTreeMap<String, Vec<VolumeMount>>,
}
