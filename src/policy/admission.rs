//! The effect of an observed state: it waits for a start, or is skipped for a reason.

use std::time::Instant;

use super::effect::{Effect, Sent, SkipReason};
use super::input::Baseline;
use super::machine::{Disposition, Entropy, Lifecycle, Machine, Newest};
use super::waiting::{Entry, Wait};
use crate::watch::{OnDelete, PolicySpec, Reason, RunMode, RunOnLoad, State};

/// The most states that wait in parallel mode. Beyond that the newest waiting state is replaced by a newer one, which
/// then stands for both.
pub(super) const MOST_WAITING: usize = 1024;

/// Whether a state should run, before run mode and circumstances are considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Run(Reason),
    Skip(SkipReason, Disposition),
}

/// Judges the first state that a machine sees.
fn judge_first(policy: &PolicySpec, baseline: Baseline, absent: bool) -> Judgement {
    if absent {
        let was_there = match baseline {
            Baseline::Unknown | Baseline::Applied => false,
            Baseline::Changed | Baseline::Interrupted | Baseline::Pending => true,
        };
        if policy.on_delete == OnDelete::Ignore || !was_there {
            return Judgement::Skip(SkipReason::Absent, Disposition::Absent);
        }
    }
    let loaded = if absent { Reason::Delete } else { Reason::Load };
    let changed = if absent { Reason::Delete } else { Reason::Change };
    match (baseline, policy.run_on_load) {
        (Baseline::Interrupted, _) => Judgement::Run(Reason::Recovery),
        (Baseline::Pending, _) => Judgement::Run(changed),
        (Baseline::Unknown | Baseline::Changed, RunOnLoad::Always | RunOnLoad::Changed)
        | (Baseline::Applied, RunOnLoad::Always) => Judgement::Run(loaded),
        (Baseline::Unknown, RunOnLoad::Never) => Judgement::Skip(SkipReason::OnLoad, Disposition::SeenAtLoad),
        (Baseline::Applied, RunOnLoad::Never | RunOnLoad::Changed) => {
            Judgement::Skip(SkipReason::OnLoad, Disposition::Applied)
        }
        (Baseline::Changed, RunOnLoad::Never) => {
            Judgement::Skip(SkipReason::OnLoad, Disposition::ChangedWhileDown)
        }
    }
}

/// Judges a state that follows another.
fn judge_later(policy: &PolicySpec, before: &Newest, absent: bool) -> Judgement {
    if !absent {
        Judgement::Run(Reason::Change)
    } else if policy.on_delete == OnDelete::Ignore || before.disposition == Disposition::Absent {
        Judgement::Skip(SkipReason::Absent, Disposition::Absent)
    } else {
        Judgement::Run(Reason::Delete)
    }
}

impl<S: Entropy> Machine<S> {
    pub(super) fn observe(
        &mut self,
        now: Instant,
        state: State,
        updates: u64,
        baseline: Baseline,
        effects: &mut Vec<Effect>,
    ) {
        let absent = state.content.is_absent();
        let judgement = match &self.newest {
            Some(newest) if state.seq <= newest.state.seq => return,
            Some(newest) => judge_later(&self.policy, newest, absent),
            None => {
                let applied = baseline == Baseline::Applied;
                if applied {
                    self.history.applied = Some((state.seq, state.version));
                }
                if self.recognise(&state) {
                    let disposition = if applied { Disposition::Applied } else { Disposition::Open };
                    self.newest = Some(Newest { state, disposition });
                    return;
                }
                let baseline = if self.recover { Baseline::Interrupted } else { baseline };
                let judgement = judge_first(&self.policy, baseline, absent);
                // A retiring machine leaves the judging of a first state to its successor.
                let owed = matches!(baseline, Baseline::Interrupted | Baseline::Pending);
                if matches!(self.lifecycle, Lifecycle::Serving) || owed {
                    judgement
                } else {
                    Judgement::Skip(SkipReason::Retiring, Disposition::SeenAtLoad)
                }
            }
        };
        self.gave_up = false;
        match judgement {
            Judgement::Skip(why, disposition) => {
                if why == SkipReason::Absent {
                    self.drop_outdated(now, effects);
                }
                self.skip(now, state.seq, why, effects);
                self.newest = Some(Newest { state, disposition });
            }
            Judgement::Run(reason) => {
                let disposition = self.admit(now, state.clone(), updates, reason, effects);
                self.newest = Some(Newest { state, disposition });
            }
        }
    }

    /// Whether an adopted run has this first state: then it waits for that run.
    fn recognise(&mut self, state: &State) -> bool {
        if state.content.is_absent() && self.policy.on_delete == OnDelete::Ignore {
            return false;
        }
        let mut known = false;
        for live in self.live.iter_mut().filter(|live| live.version == Some(state.version)) {
            live.seq = Some(state.seq);
            known = true;
        }
        known
    }

    /// A state that is to be run meets the run mode.
    fn admit(
        &mut self,
        now: Instant,
        state: State,
        updates: u64,
        reason: Reason,
        effects: &mut Vec<Effect>,
    ) -> Disposition {
        let beside = match self.policy.run_mode {
            RunMode::Discard if !self.live.is_empty() && self.waiting.is_empty() => {
                self.discarded += updates;
                self.skip(now, state.seq, SkipReason::Discarded, effects);
                return Disposition::Discarded;
            }
            RunMode::Queue | RunMode::Discard | RunMode::Restart => false,
            RunMode::Parallel { .. } => true,
        };
        if !matches!(self.lifecycle, Lifecycle::Serving) {
            self.skip(now, state.seq, SkipReason::Retiring, effects);
            return Disposition::Open;
        }
        if self.policy.run_mode == RunMode::Queue && self.policy.notify_signal.is_some() {
            let told = self.live.iter().filter(|live| live.may_run());
            effects.extend(told.map(|live| Effect::Signal { run: live.run.clone(), sent: Sent::Notify }));
        }
        let fresh = updates + std::mem::take(&mut self.carried);
        let full = self.waiting.len() >= MOST_WAITING;
        let together = !beside || full || self.is_suspended();
        match self.waiting.back_mut() {
            Some(last) if together || last.fated || last.is_settling() => {
                let replaced = (!last.fated).then_some(last.state.seq);
                last.renew(now, state, fresh, reason, &self.policy);
                if let Some(seq) = replaced {
                    self.skip(now, seq, SkipReason::Superseded, effects);
                }
            }
            Some(_) | None => {
                self.waiting.push_back(Entry::update(now, state, fresh, reason, &self.policy));
            }
        }
        Disposition::Open
    }

    /// The key is deleted and that runs nothing: a waiting older state is dropped. In parallel mode only an entry that could
    /// still be replaced is dropped; every other update gets its run.
    fn drop_outdated(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let parallel = matches!(self.policy.run_mode, RunMode::Parallel { .. });
        let each = parallel && !self.is_suspended();
        if let Some(last) = self.waiting.back()
            && (!each || last.fated || last.is_settling())
            && let Some(dropped) = self.waiting.pop_back()
        {
            self.carried += dropped.fresh;
            if !dropped.fated {
                self.skip(now, dropped.state.seq, SkipReason::Superseded, effects);
            }
        }
    }

    /// After a pause or a stop: the newest state waits for a start if it is not the one last applied and no run has it. In
    /// discard mode that includes a state that was discarded because of the current run.
    pub(super) fn catch_up(&mut self, now: Instant) {
        if self.is_suspended() || !self.waiting.is_empty() {
            return;
        }
        let Some(newest) = &mut self.newest else { return };
        let repeated = match newest.disposition {
            Disposition::Applied | Disposition::SeenAtLoad | Disposition::Absent => return,
            Disposition::Discarded => self.discarded,
            Disposition::Open | Disposition::GivenUp => self.history.last_coalesced(),
            Disposition::ChangedWhileDown => 1,
        };
        if self.live.iter().any(|live| live.seq == Some(newest.state.seq)) {
            return;
        }
        newest.disposition = Disposition::Open;
        self.gave_up = false;
        let state = newest.state.clone();
        let reason = if state.content.is_absent() { Reason::Delete } else { Reason::Change };
        let wait = Wait::Ready;
        self.waiting.push_back(Entry::again(now, state, reason, 1, repeated.max(1), wait));
    }
}
