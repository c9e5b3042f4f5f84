//! The classic builder: its request, its output, and its hands ([`::build::Hands`]) on this tenant's images and containers.

pub(crate) mod abandoned;
mod answer;
#[allow(clippy::module_inception, reason = "one file for each verb, and the verb is build")]
pub(crate) mod build;
pub(crate) mod cancel;
mod hands;
mod live;
mod output;
mod parameters;
pub(crate) mod prune;
mod pulling;
mod step;
