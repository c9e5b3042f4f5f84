//! `/images` and `/distribution`.
