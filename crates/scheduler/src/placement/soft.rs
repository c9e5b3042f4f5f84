//! Soft wishes: all are tried together; while no host keeps them all, the one that the fewest hosts keep is dropped.

use domain::Host;

use super::filter::Context;

/// The hosts that keep the wishes which are left, and a warning for each that was dropped.
pub(super) fn narrow<'h>(fit: Vec<&'h Host>, context: &Context<'_>) -> (Vec<&'h Host>, Vec<String>) {
    let mut wishes = context.soft_wishes();
    let mut warnings = Vec::new();
    while !wishes.is_empty() {
        let kept: Vec<_> = fit.iter().copied().filter(|host| wishes.iter().all(|(_, keeps)| keeps(host))).collect();
        if !kept.is_empty() {
            return (kept, warnings);
        }
        let keepers = |keeps: &dyn Fn(&Host) -> bool| fit.iter().filter(|host| keeps(host)).count();
        let Some(least) = (0..wishes.len()).min_by_key(|i| keepers(&wishes[*i].1)) else { break };
        let (wish, _) = wishes.remove(least);
        warnings.push(format!("the soft {wish} could not be satisfied"));
    }
    (fit, warnings)
}
