//! The agent of one host: drives containerd, and serves frontends over mTLS.

pub mod config;
pub mod containerd;

pub use config::Config;
