//! The agent of one host: drives containerd, and serves frontends over mTLS.
//!
//! `lifecycle` is the heart: one verb in each file. It stands on `containerd` (records, snapshots, tasks), `network`
//! (sandboxes), `stdio` (logs, attach, exec) and `images` (layers); `grpc` is the door, `report` the other way out.
//! containerd's records are the only database, so that an agent may die at any moment.

pub mod config;
pub mod containerd;
pub mod dns;
mod evict;
mod facts;
mod grpc;
mod idmap;
pub mod images;
mod layer;
pub mod lifecycle;
mod measure;
mod neighbours;
pub mod network;
mod passwd;
mod report;
mod run;
mod spec;
pub mod stdio;
mod uts;
mod volumes;

pub use config::Config;
pub use run::{open, run};
