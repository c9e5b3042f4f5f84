//! DNS at 127.0.0.11 in every container, as Docker has it, answered by the agent.
//!
//! The caller is known by the socket, not by its address: each container has sockets of its own in its own namespace.
//! They die with the agent, so a restarted agent opens them again, on the same port, before anything else.
//! Messages are parsed and built by `hickory-proto`; the loops are ours, so that an upstream's answer is passed on byte
//! for byte (EDNS, unknown records), and so that only this folder knows hickory's types.

mod answer;
mod forward;
mod names;
mod redirect;
mod serve;
mod sockets;
mod upstream;

pub(crate) use forward::Upstream;
pub(crate) use names::{Addresses, Names};
pub(crate) use serve::{Resolver, Scope, Server};
pub(crate) use sockets::Sockets;
pub(crate) use upstream::host_servers;
