//! One folder for each noun of the API, one file for each verb.

pub(crate) mod auth;
pub(crate) mod build;
pub(crate) mod containers;
pub(crate) mod distribution;
pub(crate) mod exec;
pub(crate) mod images;
pub(crate) mod networks;
pub(crate) mod pruning;
pub(crate) mod system;
pub(crate) mod volumes;
