//! What the end of a run leads to: applied, retried, recovered, given up.

use std::time::{Duration, Instant};

use super::effect::Effect;
use super::input::RunEnd;
use super::machine::{Disposition, Entropy, Lifecycle, Machine};
use super::runs::LiveRun;
use super::waiting::{Entry, Wait, later};
use crate::watch::{OnFailure, PolicySpec, Reason, Retries, RunMode, Verdict};

/// How long to wait before the run after the `failed`th failure in a row (1, 2, …): doubling from
/// `retry_delay` up to `retry_delay_max`, and of that between half and all.
fn retry_delay(policy: &PolicySpec, failed: u32, jitter: f64) -> Duration {
    let doubled = 2_u32.checked_pow(failed.saturating_sub(1)).unwrap_or(u32::MAX);
    let half = policy.retry_delay.saturating_mul(doubled).min(policy.retry_delay_max) / 2;
    let spread = Duration::try_from_secs_f64(half.as_secs_f64() * jitter.clamp(0.0, 1.0)).unwrap_or(half);
    half.saturating_add(spread)
}

impl<S: Entropy> Machine<S> {
    pub(super) fn end(&mut self, now: Instant, ended: &RunEnd, effects: &mut Vec<Effect>) {
        let Some(at) = self.live.iter().position(|live| live.run == ended.run) else { return };
        let live = self.live.remove(at);
        if self.live.is_empty() {
            self.live = Vec::new();
        }
        self.history.ended(&live, ended.verdict, now);
        match ended.verdict {
            Verdict::Succeeded => self.succeed(&live, effects),
            Verdict::Failed => self.fail(now, &live, effects),
            Verdict::Unknown => self.lose(now, &live),
        }
        self.report(now, &live, ended.verdict, effects);
    }

    fn succeed(&mut self, live: &LiveRun, effects: &mut Vec<Effect>) {
        let (Some(seq), Some(version)) = (live.seq, live.version) else { return };
        if self.history.applied.is_none_or(|(last, _)| last <= seq) {
            self.history.applied = Some((seq, version));
            effects.push(Effect::Applied { run: live.run.clone(), seq, version });
        }
        if let Some(newest) = &mut self.newest
            && newest.state.seq == seq
        {
            newest.disposition = Disposition::Applied;
            self.gave_up = false;
        }
    }

    fn fail(&mut self, now: Instant, live: &LiveRun, effects: &mut Vec<Effect>) {
        if live.adopted && live.seq.is_none() {
            // Its state is not known, so neither is whether a newer one came since.
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
            let state = newest.state.clone();
            let until = later(now, retry_delay(&self.policy, live.attempt, self.source.jitter()));
            let (attempt, repeated) = (live.attempt.saturating_add(1), live.coalesced + self.discarded);
            let wait = Wait::Retrying { until };
            self.waiting.push_back(Entry::again(now, state, Reason::Retry, attempt, repeated, wait));
        } else {
            if newest.disposition != Disposition::Applied {
                newest.disposition = Disposition::GivenUp;
            }
            self.gave_up = true;
            match self.policy.on_failure {
                OnFailure::Stop if !self.stopped => {
                    self.stopped = true;
                    effects.push(Effect::Stopped { attempts: live.attempt });
                }
                OnFailure::Keep if !again => effects.push(Effect::GaveUp { attempts: live.attempt }),
                OnFailure::Stop | OnFailure::Keep => {}
            }
        }
    }

    /// Nobody knows how a run ended: the newest state is run again, marked as a recovery. No failure.
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
        let state = newest.state.clone();
        let wait = if live.adopted {
            Wait::Ready
        } else {
            // A run of our own should have an end that is known. If it has none time after time, the
            // repeating must not become a busy loop.
            let until = later(now, retry_delay(&self.policy, 1, self.source.jitter()));
            Wait::Retrying { until }
        };
        let repeated = live.coalesced + self.discarded;
        self.waiting.push_back(Entry::again(now, state, Reason::Recovery, live.attempt, repeated, wait));
    }

    /// Whether a run that did not succeed is to be repeated: nothing newer waits or runs, and there is
    /// something to apply. In discard mode what came meanwhile was not admitted, but a repetition uses it.
    fn is_to_repeat(&self, live: &LiveRun) -> bool {
        if !matches!(self.lifecycle, Lifecycle::Serving) || !self.waiting.is_empty() {
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
        // In parallel mode another run may still have it in hand: its end decides.
        let in_hand = self.live.iter().any(|other| other.seq == Some(newest.state.seq));
        current && !in_hand && newest.disposition != Disposition::Absent
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
