//! The consequences of the end of a run: applied, retried, recovered, given up; and of a start that was prevented.

use std::time::{Duration, Instant};

use super::effect::{Effect, SkipReason};
use super::hold::Yardstick;
use super::input::RunEnd;
use super::machine::{Disposition, Entropy, Machine};
use super::runs::LiveRun;
use super::waiting::{PendingState, Wait, later};
use crate::watch::{OnFailure, PolicySpec, Reason, Retries, RunId, RunMode, Verdict};

/// The delay after the first start in a row that the daemon could not make, and the longest.
pub(super) const PREVENTED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The delay before the attempt after the `failed`th failure in a row (1, 2, …) of the action.
fn retry_delay(policy: &PolicySpec, failed: u32, jitter: f64) -> Duration {
    delay((policy.retry_delay, policy.retry_delay_max), failed, jitter)
}

/// Doubles from the first up to the longest with each failure in a row (1, 2, …); the jitter draws from its upper half.
fn delay((first, longest): (Duration, Duration), failed: u32, jitter: f64) -> Duration {
    let doubled = 2_u32.checked_pow(failed.saturating_sub(1)).unwrap_or(u32::MAX);
    let half = first.saturating_mul(doubled).min(longest) / 2;
    let spread = Duration::try_from_secs_f64(half.as_secs_f64() * jitter.clamp(0.0, 1.0)).unwrap_or(half);
    half.saturating_add(spread)
}

impl<S: Entropy> Machine<S> {
    pub(super) fn end(&mut self, now: Instant, ended: &RunEnd, effects: &mut Vec<Effect>) {
        let Some(live) = self.take_live(&ended.run) else { return };
        self.prevented = 0;
        self.history.ended(&live, ended.verdict, now);
        match ended.verdict {
            Verdict::Succeeded => self.succeed(&live, effects),
            Verdict::Failed => self.fail(now, &live, effects),
            Verdict::Unknown => self.lose(now, &live),
        }
        self.report(now, &live, ended.verdict == Verdict::Succeeded, effects);
    }

    fn take_live(&mut self, run: &RunId) -> Option<LiveRun> {
        let at = self.live.iter().position(|live| live.run == *run)?;
        let live = self.live.remove(at);
        if self.live.is_empty() {
            self.live = Vec::new();
        }
        Some(live)
    }

    /// The daemon could not start what it was to start: it waits again, as if nothing had happened, and is tried again
    /// after a delay.
    pub(super) fn prevent(&mut self, now: Instant, run: &RunId, effects: &mut Vec<Effect>) {
        let Some(mut live) = self.take_live(run) else { return };
        let Some((entry, last_start)) = live.entry.take().map(|attempted| *attempted) else { return };
        self.last_start = last_start;
        self.prevented = self.prevented.saturating_add(1);
        let until = later(now, delay(PREVENTED, self.prevented, self.source.jitter()));
        let entry = PendingState { wait: Wait::Prevented { until }, ..entry };
        if self.is_serving() {
            self.waiting.push_front(entry);
        } else if !entry.fated {
            self.skip(now, entry.state.seq, SkipReason::Retiring, effects);
        }
        self.report(now, &live, false, effects);
    }

    fn succeed(&mut self, live: &LiveRun, effects: &mut Vec<Effect>) {
        let (Some(seq), Some(version)) = (live.seq, live.version) else { return };
        if self.history.applied.is_none_or(|(last, _)| last <= seq) {
            self.history.applied = Some((seq, version));
            if let Some(entries) = live.entries {
                self.yardstick = Yardstick::Applied(entries);
            }
            effects.push(Effect::Applied { run: live.run.clone(), seq, version });
        }
        if let Some(newest) = &mut self.newest
            && newest.state.seq == seq
        {
            // A key that was never there, and whose deletion a trigger ran, stays what it is.
            if newest.disposition != Disposition::Absent {
                newest.disposition = Disposition::Applied;
            }
            self.gave_up = false;
        }
    }

    fn fail(&mut self, now: Instant, live: &LiveRun, effects: &mut Vec<Effect>) {
        if live.adopted && live.seq.is_none() {
            // Its state is unknown, so it is also unknown whether a newer one has come.
            return self.lose(now, live);
        }
        if !self.is_to_repeat(live) {
            return;
        }
        let Some(newest) = &mut self.newest else { return };
        let again = match self.policy.retries {
            Retries::AtMost(most) => live.attempt <= most,
            Retries::Unlimited => true,
        };
        if again && !self.stopped {
            if newest.disposition != Disposition::Applied {
                newest.disposition = Disposition::Open;
            }
            let until = later(now, retry_delay(&self.policy, live.attempt, self.source.jitter()));
            let (attempt, repeated) = (live.attempt.saturating_add(1), live.coalesced + self.discarded);
            let wait = Wait::Retrying { until };
            self.waiting.push_back(newest.again(now, Reason::Retry, attempt, repeated, wait));
        } else {
            if newest.disposition != Disposition::Applied {
                newest.disposition = Disposition::GivenUp;
            }
            self.gave_up = true;
            let (run, attempts) = (live.run.clone(), live.attempt);
            match self.policy.on_failure {
                OnFailure::Stop if !self.stopped => {
                    self.stopped = true;
                    effects.push(Effect::Stopped { run, attempts });
                }
                OnFailure::Keep if !again => effects.push(Effect::GaveUp { run, attempts }),
                OnFailure::Stop | OnFailure::Keep => {}
            }
        }
    }

    /// The outcome of a run is unknown: the newest state runs again, marked as a recovery. That is no failure.
    fn lose(&mut self, now: Instant, live: &LiveRun) {
        if self.newest.is_none() {
            self.recover = true;
            return;
        }
        if self.stopped || !self.is_to_repeat(live) {
            return;
        }
        let Some(newest) = &mut self.newest else { return };
        if newest.disposition != Disposition::Applied {
            newest.disposition = Disposition::Open;
        }
        let wait = if live.adopted {
            Wait::Ready
        } else {
            // A run of our own should have a known outcome. If it has none again and again, the repetition must not become a busy
            // loop.
            let until = later(now, retry_delay(&self.policy, 1, self.source.jitter()));
            Wait::Retrying { until }
        };
        let repeated = live.coalesced + self.discarded;
        self.waiting.push_back(newest.again(now, Reason::Recovery, live.attempt, repeated, wait));
    }

    /// Whether a run without success is repeated: nothing newer waits or runs, and there is something to apply. In discard mode
    /// later states were not admitted, but a repetition uses them.
    fn is_to_repeat(&self, live: &LiveRun) -> bool {
        if !self.is_serving() || !self.waiting.is_empty() {
            return false;
        }
        let Some(newest) = &self.newest else { return false };
        let newer_only_discarded = match self.policy.run_mode {
            RunMode::Discard => newest.disposition == Disposition::Discarded,
            RunMode::Queue | RunMode::Restart | RunMode::Parallel { .. } => false,
        };
        let current = match live.seq {
            None => true,
            Some(seq) => seq == newest.state.seq || newer_only_discarded,
        };
        // In parallel mode another run may still have it: that run's end decides.
        let in_hand = self.live.iter().any(|other| other.seq == Some(newest.state.seq));
        let nothing = match newest.disposition {
            Disposition::Absent | Disposition::Held(_) => true,
            Disposition::Open
            | Disposition::Applied
            | Disposition::SeenAtLoad
            | Disposition::ChangedWhileDown
            | Disposition::Discarded
            | Disposition::GivenUp => false,
        };
        current && !in_hand && !nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::fixture;

    #[test]
    fn delays_double_to_their_maximum_and_spread_over_the_upper_half() {
        let policy = PolicySpec {
            retry_delay: Duration::from_secs(5),
            retry_delay_max: Duration::from_mins(1),
            ..fixture::policy(RunMode::Queue)
        };
        let full: Vec<u64> = (1..=6).map(|failed| retry_delay(&policy, failed, 1.0).as_secs()).collect();
        assert_eq!(full, [5, 10, 20, 40, 60, 60]);
        assert_eq!(retry_delay(&policy, 2, 0.0), Duration::from_secs(5));
        assert_eq!(retry_delay(&policy, 2, 0.5), Duration::from_millis(7500));
    }

    #[test]
    fn no_delay_or_jitter_is_too_odd() {
        let policy = PolicySpec {
            retry_delay: Duration::MAX,
            retry_delay_max: Duration::MAX,
            ..fixture::policy(RunMode::Queue)
        };
        for jitter in [-1.0, 0.0, 1.0, 7.0, f64::NAN, f64::INFINITY] {
            assert!(retry_delay(&policy, u32::MAX, jitter) <= Duration::MAX);
        }
    }
}
