//! Volumes: directories that outlive containers.
//!
//! A tenant knows a volume by its name; its directory is named by its id, so that a name that is removed and used again
//! means an empty volume at once, whatever is still being deleted.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, VolumeId};

/// Set on volumes that nobody named; `volume prune` takes only these unless it is told otherwise. Docker's own label.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeDriver {
    /// A directory of one host, from its first use on: its containers run there.
    Local,
    /// A directory of a file system that the operator mounts on the hosts.
    Shared,
}

impl VolumeDriver {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Shared => "shared",
        }
    }
}

impl FromStr for VolumeDriver {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "local" => Ok(Self::Local),
            "shared" => Ok(Self::Shared),
            other => Err(Error::Missing(format!(
                "error looking up volume plugin {0}: plugin \"{0}\" not found",
                other.escape_debug()
            ))),
        }
    }
}

impl fmt::Display for VolumeDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A volume that shall be there: made where the name is new, else the one of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewVolume {
    pub name: String,
    /// None: whichever the volume has; `local` for a new one.
    pub driver: Option<VolumeDriver>,
    pub labels: BTreeMap<String, String>,
    /// As given; the only legal key is `size`.
    pub options: BTreeMap<String, String>,
    /// The quota that `options` asks for.
    pub size_bytes: Option<i64>,
}

impl NewVolume {
    /// Of that name, with nothing else said.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), driver: None, labels: BTreeMap::new(), options: BTreeMap::new(), size_bytes: None }
    }

    /// As [`named`](Self::named), with the label of those that nobody named.
    pub fn anonymous(name: impl Into<String>) -> Self {
        Self { labels: BTreeMap::from([(ANONYMOUS_LABEL.to_owned(), String::new())]), ..Self::named(name) }
    }
}

/// What a host must know of a volume besides where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacedVolume {
    pub id: VolumeId,
    pub name: String,
    pub driver: VolumeDriver,
    pub size_bytes: Option<i64>,
}

/// A volume in a container, as `ps` and `inspect` tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountedVolume {
    pub name: String,
    pub driver: VolumeDriver,
    pub target: String,
    pub writable: bool,
    /// Docker's `Mode`: what the request said, or `z` where it could say something and did not.
    pub mode: String,
}
