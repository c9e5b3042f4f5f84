//! Images: one file for each verb, and what they share.

mod config;
pub(crate) mod create;
pub(crate) mod credential;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod lines;
pub(crate) mod list;
pub(crate) mod load;
mod manifests;
mod pattern;
mod platform;
pub(crate) mod prune;
pub(crate) mod push;
pub(crate) mod remove;
pub(crate) mod search;
pub(crate) mod tag;
mod told;
pub(crate) mod upload;
