//! Unpacked layers leave this host when nothing here needs them and nothing has lately: by age, and earlier when the disk
//! fills, the longest unused first. The blob store has them all.
//!
//! What is in use is not ours to guess: a snapshot with a child (a container's, another layer's) is refused by containerd,
//! and a create that is about to make such a child holds its layers in `Images`. When a layer was last used is known since
//! the agent's start only; older ones count as used then.

use std::{path::Path, sync::Arc, time::Duration};

use domain::{Digest, Result};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{Config, containerd::Snapshot, lifecycle::Engine};

const PERIOD: Duration = Duration::from_secs(60);

/// The section `[agent]`'s part of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Unused for so long, a layer goes.
    most_idle: Duration,
    /// Used within this, it stays whatever the disk: a `docker run` in a loop must not unpack each time.
    least_idle: Duration,
    /// Percent of the disk: above `high`, unused layers go until it is below `low`.
    high: u8,
    low: u8,
}

impl Policy {
    fn of(config: &Config) -> Self {
        let low = config.layers_disk_low_percent.min(config.layers_disk_high_percent);
        Self {
            most_idle: Duration::from_secs(config.layers_idle_s),
            least_idle: Duration::from_secs(config.layers_idle_least_s.min(config.layers_idle_s)),
            high: config.layers_disk_high_percent,
            low,
        }
    }
}

/// Until `stop`.
pub(crate) async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    let policy = Policy::of(&engine.config);
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        match round(&engine, policy).await {
            Ok(0) => {}
            Ok(layers) => tracing::info!(layers, "unused layers were removed"),
            Err(error) => tracing::warn!(error = error.operator_text(), "cannot look for unused layers"),
        }
    }
}

/// How many layers went.
async fn round(engine: &Engine, policy: Policy) -> Result<usize> {
    let mut snapshots = engine.containerd.list_snapshots().await?;
    let root = engine.containerd.snapshotter_root().await?;
    let (mut removed, mut pressed) = (0, used_percent(&root)? > policy.high);
    while let Some((name, layer, idle)) = longest_unused(&snapshots, |layer| engine.images.idle(layer)) {
        let enough = if pressed { policy.least_idle } else { policy.most_idle };
        if idle < enough {
            break; // the others were used later
        }
        if engine.images.evict(&layer, policy.least_idle).await? {
            removed += 1;
            pressed = pressed && used_percent(&root)? >= policy.low;
        }
        // Gone, or somebody wants it: not looked at again in this round.
        snapshots.retain(|s| s.name != name);
    }
    Ok(removed)
}

/// Of the layers without a child.
fn longest_unused(
    snapshots: &[Snapshot],
    idle: impl Fn(&Digest) -> Option<Duration>,
) -> Option<(String, Digest, Duration)> {
    let parents: std::collections::HashSet<&str> = snapshots.iter().map(|s| s.parent.as_str()).collect();
    let layer = |s: &Snapshot| {
        let layer: Digest = s.name.parse().ok()?;
        let idle = idle(&layer)?;
        Some((s.name.clone(), layer, idle))
    };
    let leaves = snapshots.iter().filter(|s| s.committed && !parents.contains(s.name.as_str()));
    leaves.filter_map(layer).max_by_key(|(_, _, idle)| *idle)
}

/// Of the file system that holds `path`, as `df` counts.
fn used_percent(path: &Path) -> Result<u8> {
    let stat = nix::sys::statvfs::statvfs(path).map_err(|e| domain::Error::because("statvfs of the snapshots", e))?;
    let used = stat.blocks().saturating_sub(stat.blocks_free());
    let whole = used + stat.blocks_available();
    Ok(u8::try_from(used.saturating_mul(100).checked_div(whole).unwrap_or(0)).unwrap_or(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(name: &str, parent: &str, committed: bool) -> Snapshot {
        Snapshot { name: name.to_owned(), parent: parent.to_owned(), committed }
    }

    #[test]
    fn only_layers_that_nothing_stands_on_go_and_the_oldest_first() {
        let [base, top, other, new] = [b"base", b"topm", b"othr", b"news"].map(|n| Digest::of(n));
        let mut snapshots = vec![
            snapshot(base.as_str(), "", true),
            snapshot(top.as_str(), base.as_str(), true),
            snapshot("c0ffee", top.as_str(), false),
            snapshot(other.as_str(), base.as_str(), true),
            snapshot(new.as_str(), "", true),
            snapshot("unpack-1", "", false),
            snapshot("not-a-layer", "", true),
        ];
        let idle = |layer: &Digest| match layer {
            l if *l == new => Some(Duration::from_secs(1)),
            l if *l == other => Some(Duration::from_secs(5)),
            _ => Some(Duration::from_secs(100)),
        };
        let next = |snapshots: &[Snapshot]| longest_unused(snapshots, idle).map(|(_, layer, _)| layer);
        assert_eq!(next(&snapshots), Some(other.clone()), "base and top carry a container");
        snapshots.retain(|s| s.name != "c0ffee");
        assert_eq!(next(&snapshots), Some(top.clone()));
        snapshots.retain(|s| s.name != top.as_str() && s.name != other.as_str());
        assert_eq!(next(&snapshots), Some(base), "a parent, once its children are gone");
        assert_eq!(longest_unused(&snapshots, |_| None), None, "held ones are not looked at");
    }

    #[test]
    fn the_disk_has_a_percentage() {
        assert!(used_percent(Path::new("/")).expect("statvfs") <= 100);
    }
}
