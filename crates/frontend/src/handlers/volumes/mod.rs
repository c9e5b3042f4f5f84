//! Volumes, one verb in each file. All of it is the inventory's: hosts make a directory at the first use, and delete it behind
//! the answer.

pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod prune;
pub(crate) mod remove;
pub(crate) mod shown;
pub(crate) mod update;

pub(crate) use shown::mountpoint;
