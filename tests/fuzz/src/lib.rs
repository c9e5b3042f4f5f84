//! The targets, which are `tests/parsers`' own.

#[path = "../../parsers/targets/mod.rs"]
pub mod targets;
