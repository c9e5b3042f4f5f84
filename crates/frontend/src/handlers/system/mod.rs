//! The endpoint itself: `/_ping`, `/version`, `/info`, `/events`, and what it says of plugins, Swarm, checkpoints and BuildKit sessions.

pub(crate) mod checkpoints;
pub(crate) mod df;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod ping;
pub(crate) mod plugins;
pub(crate) mod sessions;
pub(crate) mod swarm;
pub(crate) mod version;
