//! Happenings as the arrays that a statement takes.

use domain::Happening;

#[derive(Debug, Default)]
pub(crate) struct Arrays {
    pub(crate) generations: Vec<i64>,
    pub(crate) times_ns: Vec<i64>,
    pub(crate) actions: Vec<String>,
    /// JSON objects.
    pub(crate) attributes: Vec<String>,
}

impl Arrays {
    pub(crate) fn of(happenings: &[Happening]) -> Self {
        Self {
            generations: happenings.iter().map(|h| h.generation.cast_signed()).collect(),
            times_ns: happenings.iter().map(|h| h.at.timestamp_nanos_opt().unwrap_or(0)).collect(),
            actions: happenings.iter().map(|h| super::action(&h.action)).collect(),
            attributes: happenings.iter().map(|h| super::json(&h.attributes)).collect(),
        }
    }
}
