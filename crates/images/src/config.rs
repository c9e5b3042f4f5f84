//! What we read of an image's config; the bytes themselves are kept as they came, since their digest is the image's id.

use chrono::{DateTime, Utc};
use domain::{Digest, Error, Result};
use serde::Deserialize;

use crate::manifest::LAYERS_MAX;

/// Policy I04.
const HISTORY_MAX: usize = 1000;

#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) variant: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) created: Option<DateTime<Utc>>,
    rootfs: Option<Rootfs>,
    #[serde(default)]
    history: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Debug, Deserialize)]
struct Rootfs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

impl Config {
    /// Checks what policy I04 bounds, and that hosts can run it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let invalid = |e| Error::invalid(format!("invalid image config: {e}"));
        let mut config: Self = serde_json::from_slice(bytes).map_err(invalid)?;
        if config.rootfs.is_none() {
            return Err(Error::invalid("invalid image config: no RootFS key"));
        }
        if config.history.as_ref().is_some_and(|h| h.len() > HISTORY_MAX) || config.diff_ids().len() > LAYERS_MAX {
            return Err(Error::invalid("invalid image config: too many layers or history entries (policy I04)"));
        }
        if config.os.is_empty() {
            config.os = "linux".to_owned();
        }
        if config.os != "linux" {
            return Err(Error::invalid(format!("cannot load {} image on linux", config.os)));
        }
        Ok(config)
    }

    /// From the bottom up.
    pub(crate) fn diff_ids(&self) -> &[Digest] {
        self.rootfs.as_ref().map_or(&[], |r| r.diff_ids.as_slice())
    }
}
