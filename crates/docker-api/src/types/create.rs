//! The body of `POST /containers/create`: Docker's container config with host config and networking beside it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Deserializer, Serialize};

use super::{HealthConfig, HostConfig, NetworkingConfig, command::words};

/// Every field that Docker documents for API 1.24 to 1.51. A field that is not here is refused by `strict::parse`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerCreateBody {
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub user: Option<String>,
    pub attach_stdin: Option<bool>,
    pub attach_stdout: Option<bool>,
    pub attach_stderr: Option<bool>,
    #[serde(deserialize_with = "keys")]
    pub exposed_ports: Option<Vec<String>>,
    pub tty: Option<bool>,
    pub open_stdin: Option<bool>,
    pub stdin_once: Option<bool>,
    pub env: Option<Vec<String>>,
    #[serde(deserialize_with = "words")]
    pub cmd: Option<Vec<String>>,
    pub healthcheck: Option<HealthConfig>,
    pub args_escaped: Option<bool>,
    pub image: Option<String>,
    #[serde(deserialize_with = "keys")]
    pub volumes: Option<Vec<String>>,
    pub working_dir: Option<String>,
    #[serde(deserialize_with = "words")]
    pub entrypoint: Option<Vec<String>>,
    pub network_disabled: Option<bool>,
    /// Up to API 1.43; later clients put it into the endpoint's settings.
    pub mac_address: Option<String>,
    pub on_build: Option<Vec<String>>,
    pub labels: Option<HashMap<String, String>>,
    pub stop_signal: Option<String>,
    pub stop_timeout: Option<i64>,
    #[serde(deserialize_with = "words")]
    pub shell: Option<Vec<String>>,
    pub host_config: Option<HostConfig>,
    pub networking_config: Option<NetworkingConfig>,
}

/// A set in Go's JSON: an object whose values are `{}` or null. Sorted, so that what is shown does not change.
fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    struct Nothing {}
    let set: Option<BTreeMap<String, Option<Nothing>>> = Deserialize::deserialize(from)?;
    Ok(set.map(|set| set.into_keys().collect()))
}
