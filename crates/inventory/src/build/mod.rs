//! What the builder remembers for a tenant: results of steps (the cache), and the builds that are under way.

mod cache;
mod under_way;

pub use cache::{BuildStep, CachedStep, NewStep};
pub use under_way::StepContainer;

/// The label of a step's container; its value is the build's id. The migration's index names it too.
pub const BUILD_LABEL: &str = "com.wharfinger.system.build";
