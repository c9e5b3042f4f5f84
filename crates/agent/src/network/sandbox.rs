//! The sandbox of one container: its directory `<run>/sandboxes/<container id>` with the bound namespaces `user` and
//! `net`, and `state.json`, which is enough to take it apart, also after the agent has died in the middle.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use domain::{Error, HostPort, Result};
use serde::{Deserialize, Serialize};

use super::{netns, port::Port};
use crate::dns;

const STATE: &str = "state.json";

/// Written before the links that it names are made.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// Of 127.0.0.11 in the container.
    pub(super) dns_port: u16,
    pub(super) ports: Vec<Port>,
    /// Of the host, that lead here.
    #[serde(default)]
    pub(super) published: Vec<HostPort>,
}

impl State {
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|e| Error::because("a sandbox's state", e))?;
        // The agent may die in the middle of a write: never leave half a file.
        let (new, path) = (dir.join("state.new"), dir.join(STATE));
        let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path));
        written.map_err(|e| Error::because(format!("write {}", path.display()), e))
    }

    /// `None` where there is none: an unused spare.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dir.join(STATE)).ok()?).ok()
    }
}

/// A container's sandbox while the agent serves it. Dropping it ends the DNS.
pub(super) struct Live {
    pub(super) ports: Vec<Port>,
    pub(super) dns: Option<(dns::Server, Arc<RwLock<Arc<dns::Scope>>>)>,
}

/// Both namespaces are bound.
pub(super) fn is_whole(dir: &Path) -> bool {
    netns::is_bound(&dir.join("user")) && netns::is_bound(&dir.join("net"))
}

/// Lets the namespaces go and removes the directory. The kernel takes its time for what was in them.
pub(super) fn remove_dir(dir: &Path) {
    for kind in ["net", "user"] {
        netns::unbind(&dir.join(kind));
    }
    if let Err(error) = std::fs::remove_dir_all(dir) {
        tracing::debug!(dir = %dir.display(), %error, "remove a sandbox's directory");
    }
}

/// Takes `dir` away from its path at once, for [`remove_dir`] later. `None`: nothing was there.
pub(super) fn set_aside(dir: &Path, trash: &Path) -> Option<PathBuf> {
    let aside = trash.join(format!("{:016x}", rand::random::<u64>()));
    std::fs::rename(dir, &aside).is_ok().then_some(aside)
}
