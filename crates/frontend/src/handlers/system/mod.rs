//! The endpoint itself: `/_ping`, `/version`, `/info`, and what it says of plugins and Swarm.

pub(crate) mod info;
pub(crate) mod ping;
pub(crate) mod plugins;
pub(crate) mod swarm;
pub(crate) mod version;
