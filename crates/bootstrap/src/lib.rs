//! What every role does around its work: read its configuration, start telemetry, say that it is ready, and drain.

pub mod config;
pub mod ready;
pub mod shutdown;
pub mod telemetry;
