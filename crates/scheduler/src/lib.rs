//! The scheduler: places containers, takes in what hosts report, and repairs what crashes leave.
//!
//! Any number may run. Each keeps a snapshot of the hosts in memory, which is only ever a guess: a placement counts when
//! the inventory has committed it. `placement` is pure, the rest moves its answers.

mod config;
mod grpc;
mod place;
mod placement;
mod reaper;
mod report;
mod retention;
mod run;
mod snapshot;

pub use config::Config;
pub use run::run;
