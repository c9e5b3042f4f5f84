//! `/distribution`.

pub(crate) mod inspect;
