//! A tenant's request becomes an accepted [`domain::ContainerSpec`], or a refusal that names field, value and rule.
//!
//! Pure: no I/O and no look-ups; ids and names are resolved in the tenant's own space before (see
//! [`referenced_containers`]). Every struct of the request is taken apart without `..`, so that a field that Docker adds
//! does not compile until it has a rule. What is clamped or ignored is said in the warnings; nothing is dropped silently.
//! The rule ids (P01, R05, ...) are those of the request policy; the agent checks the result again with [`oci::check`].

mod accepted;
mod capabilities;
mod context;
mod create;
mod env;
mod exec;
mod health;
mod host_config;
mod image;
mod isolation;
mod labels;
mod log;
mod merge;
mod mounts;
mod names;
mod network;
mod network_create;
pub mod oci;
mod package;
mod placement;
mod platform;
mod ports;
mod references;
mod refuse;
mod resources;
mod restart;
mod security_opt;
mod sysctls;
mod tmpfs;
mod ulimits;
mod update;
mod user;
mod volume;

pub use accepted::Accepted;
pub use capabilities::DEFAULT as DEFAULT_CAPABILITIES;
pub use context::{CreateContext, ImageFacts};
pub use create::create;
pub use exec::exec;
pub use image::image_config;
pub use network::connect;
pub use network_create::{AcceptedNetwork, network_create};
pub use package::Package;
pub use platform::platform;
pub use references::referenced_containers;
pub use update::{Updated, update};
pub use volume::volume;
