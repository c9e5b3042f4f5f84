//! Takes sandboxes apart behind the caller's back, one at a time: the kernel needs 10-50 ms for a link or a namespace, and
//! holds a lock meanwhile that starts need too.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::mpsc;

use super::{
    port::Port,
    routers::Routers,
    sandbox::{self, State},
};

/// What is left of a sandbox.
pub(super) struct Remains {
    /// In the trash already.
    pub(super) dir: PathBuf,
    pub(super) ports: Vec<Port>,
}

/// Where to send remains to. The task ends when all senders are gone.
pub(super) fn start(routers: Arc<Routers>) -> mpsc::UnboundedSender<Remains> {
    let (sender, mut queue) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(remains) = queue.recv().await {
            reap(&routers, remains).await;
        }
    });
    sender
}

async fn reap(routers: &Routers, remains: Remains) {
    for port in &remains.ports {
        // Without its router, the link is gone too.
        let Some(router) = routers.find(port.vni).await else { continue };
        if let Err(error) = port.unplug(&router).await {
            tracing::warn!(port = port.name, error = error.operator_text(), "unplug a container");
        }
    }
    let _ = tokio::task::spawn_blocking(move || sandbox::remove_dir(&remains.dir)).await;
}

/// What earlier agents left in `dirs`: unfinished work, and spares, which can't be taken up since their sockets are gone.
pub(super) fn leftovers(dirs: [&Path; 2]) -> Vec<Remains> {
    let entries = dirs.into_iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    let remains = |dir: PathBuf| Remains { ports: State::read(&dir).unwrap_or_default().ports, dir };
    entries.map(|entry| remains(entry.path())).collect()
}
