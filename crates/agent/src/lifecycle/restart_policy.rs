//! Docker's restart policies and their backoff.

use std::time::Duration;

use domain::spec::RestartPolicy;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// A run of this length wipes the slate clean.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// The delay before the next restart: doubles with each short run.
#[derive(Debug, Default)]
pub struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// After a run of `ran`.
    pub fn next(&mut self, ran: Duration) -> Duration {
        let next = match self.last {
            Some(last) if ran < GOOD_RUN => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(next);
        next
    }

    /// After a start by hand.
    pub fn reset(&mut self) {
        self.last = None;
    }
}

/// Whether a container that nobody stopped is started again after this exit.
pub(crate) fn restarts(policy: RestartPolicy, exit_code: i32, restart_count: u32) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { max_retries } => exit_code != 0 && (max_retries == 0 || restart_count < max_retries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_a_minute_and_a_good_run_resets_it() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        let delays: Vec<u64> = (0..12).map(|_| backoff.next(short).as_millis() as u64).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(backoff.next(GOOD_RUN), FIRST);
    }

    #[test]
    fn on_failure_counts_its_retries() {
        let policy = RestartPolicy::OnFailure { max_retries: 2 };
        assert!(restarts(policy, 3, 0) && restarts(policy, 3, 1));
        assert!(!restarts(policy, 3, 2) && !restarts(policy, 0, 0));
        assert!(restarts(RestartPolicy::OnFailure { max_retries: 0 }, 1, 1000));
        assert!(restarts(RestartPolicy::UnlessStopped, 0, 9) && !restarts(RestartPolicy::No, 1, 0));
    }
}
