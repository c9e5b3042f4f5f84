//! One function for each reader of foreign bytes: it must not panic, hang or grow, and what it accepts must hold what the
//! function says. `tests/fuzz` runs them under libFuzzer, `shake` in every test run.

#![allow(unreachable_pub, reason = "the programs of tests/fuzz reach them")]

pub mod archive;
pub mod challenge;
pub mod changes;
pub mod detach_keys;
pub mod dockerfile;
pub mod filters;
pub mod json;
pub mod layer;
pub mod manifest;
pub mod mounts;
pub mod ports;
pub mod reference;
pub mod registry_auth;
pub mod timestamp;

/// A target's input where it is text, as HTTP hands it on.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
