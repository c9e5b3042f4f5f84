//! `/containers`.

pub(crate) mod announce;
pub(crate) mod attach;
pub(crate) mod attach_ws;
pub(crate) mod commit;
pub(crate) mod create;
mod filter;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod logs;
mod mounts;
mod network;
pub(crate) mod pause;
pub(crate) mod prune;
pub(crate) mod remove;
pub(crate) mod rename;
pub(crate) mod resize;
pub(crate) mod restart;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod unpause;
pub(crate) mod update;
pub(crate) mod verb;
pub(crate) mod wait;
