//! The wire between roles: code generated from `/proto`, its conversion to `domain` types, the gRPC status table, and
//! mutually authenticated channels.
//!
//! Past this crate nobody sees a proto of a noun that `domain` has: a handler converts, calls, converts.

/// Generated from `/proto`.
pub mod v1 {
    #![allow(clippy::all, clippy::pedantic, unreachable_pub)]
    tonic::include_proto!("wharfinger.v1");
}

mod channels;
mod convert;
mod json;
mod peer;
pub mod request_id;
pub mod status;
mod tls;

pub use channels::{Agent, Blobs, Channels, Edge, Files, Layers, Measure, Networks, Scheduler};
pub use convert::{container_key, tenant_and_container};
pub use json::{json, to_json};
pub use peer::Peer;
pub use tls::{TlsFiles, server};
