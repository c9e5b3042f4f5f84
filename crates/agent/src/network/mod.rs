//! The network of this host's containers.
//!
//! Per network there is a router namespace ([`router`]); per running container a sandbox ([`sandbox`]): a user namespace
//! and a network namespace that it owns, plugged into routers ([`port`]). Tenants share no router, and may use the same
//! subnets. What a tenant must not reach is fenced off in the host's namespace ([`host`]) and at each port ([`guard`]).
//!
//! The order in a start: state on disk, then links. The order at an end: silence, free the path, and only then the slow
//! part in the background. Everything outlives the agent; [`Plane::adopt`] takes it up again.

mod control;
mod guard;
mod host;
mod ipv6;
mod links;
pub(crate) mod netns;
pub(crate) mod nftables;
mod paths;
mod peers;
mod plane;
mod port;
mod published;
mod reaper;
mod router;
mod routers;
mod sandbox;
mod source;
mod spare;
mod underlay;
mod userns;

pub(crate) use links::parse_mac;
pub use peers::Peer;
pub use plane::{Plane, Sandbox, SandboxRequest, Settings};
pub use source::{Listing, Source};
