//! The edge: layer-4 ingress at tenants' own addresses, for their published ports and for the Docker API.
//!
//! A connection goes [`listener`] (one for each address, protocol and port) -> [`tcp`] or [`udp`] -> a port of the
//! container's host on the underlay, where the kernel hands on. What is published is the inventory's affair: frontends tell
//! of it before a start is answered ([`grpc`]), and schedulers are asked every two seconds ([`source`]); an edge keeps
//! nothing, and goes on with what it knows while they are away. In user space rather than by NAT, since a loopback address
//! can be served so, several edges can share an address, and a container can be told who called.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod grpc;
mod listener;
mod pipe;
mod proxy_header;
mod run;
mod socket;
mod source;
mod table;
mod tcp;
mod udp;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use run::run;
