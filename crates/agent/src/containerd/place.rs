//! Where containerd keeps its snapshots, asked of containerd itself: the agent's configuration names only its socket.

use std::path::PathBuf;

use containerd_client::services::v1::{PluginsRequest, introspection_client::IntrospectionClient};
use domain::{Error, Result};

use super::{Containerd, SNAPSHOTTER, failed};

impl Containerd {
    /// The snapshotter's directory.
    pub async fn snapshotter_root(&self) -> Result<PathBuf> {
        let filters = vec![format!("type==io.containerd.snapshotter.v1,id=={SNAPSHOTTER}")];
        let request = self.request(PluginsRequest { filters });
        let answer = IntrospectionClient::new(self.channel.clone()).plugins(request).await;
        let plugins = answer.map_err(|s| failed("introspection.plugins", s))?.into_inner().plugins;
        let root = plugins.into_iter().find_map(|mut plugin| plugin.exports.remove("root"));
        root.map(PathBuf::from).ok_or_else(|| Error::internal("containerd does not say where its snapshots are"))
    }
}
