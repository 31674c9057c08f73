//! Exponential back-off with full jitter. Pure: randomness is an argument.

use std::time::Duration;

/// The upper bound of the wait doubles from `first` to `longest`; each wait is drawn uniformly below it ("full jitter"), so
/// that many daemons do not return to a restarted store in step.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// Draws the wait before the next attempt, and doubles the bound.
    pub(crate) fn next(&mut self, rng: &mut fastrand::Rng) -> Duration {
        self.next_within(self.longest, rng)
    }

    /// The same, but at most so long.
    pub(crate) fn next_within(&mut self, most: Duration, rng: &mut fastrand::Rng) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.longest).min(most).mul_f64(rng.f64())
    }

    /// An attempt succeeded.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_restart_after_success() {
        let first = Duration::from_millis(50);
        let longest = Duration::from_secs(5);
        let mut rng = fastrand::Rng::with_seed(7);
        let mut longest_seen = [Duration::ZERO; 40];
        for _ in 0..200 {
            let mut backoff = Backoff::new(first, longest);
            for (failures, seen) in longest_seen.iter_mut().enumerate() {
                let bound = first.saturating_mul(1 << failures.min(20)).min(longest);
                let wait = backoff.next(&mut rng);
                assert!(wait <= bound, "{wait:?} after {failures} failures");
                *seen = (*seen).max(wait);
            }
            backoff.reset();
            assert!(backoff.next(&mut rng) <= first);
        }
        assert!(longest_seen[39] > longest / 2, "the draw reaches into the upper half");
    }
}
