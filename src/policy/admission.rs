//! The effect of an observed state: it waits for a start, or is skipped for a reason.

use std::time::Instant;

use super::effect::{Effect, SkipReason};
use super::hold::Yardstick;
use super::input::Baseline;
use super::machine::{Disposition, Entropy, Machine, Newest};
use super::waiting::{Passage, PendingState, Wait};
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

/// A state that is to meet the run mode.
struct Arrival {
    state: State,
    updates: u64,
    reason: Reason,
    /// Nothing is run for it: it only meets the guard.
    void: bool,
    passed: bool,
}

/// Judges the first state that a machine sees.
fn judge_first(policy: &PolicySpec, baseline: Baseline, absent: bool) -> Judgement {
    if absent {
        let was_there = match baseline {
            Baseline::Unknown | Baseline::Applied => false,
            Baseline::Changed | Baseline::GaveUp | Baseline::Interrupted | Baseline::Pending => true,
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
        (
            Baseline::Unknown | Baseline::Changed | Baseline::GaveUp,
            RunOnLoad::Always | RunOnLoad::Changed,
        )
        | (Baseline::Applied, RunOnLoad::Always) => Judgement::Run(loaded),
        (Baseline::Unknown, RunOnLoad::Never) => Judgement::Skip(SkipReason::OnLoad, Disposition::SeenAtLoad),
        (Baseline::Applied, RunOnLoad::Never | RunOnLoad::Changed) => {
            Judgement::Skip(SkipReason::OnLoad, Disposition::Applied)
        }
        (Baseline::GaveUp, RunOnLoad::Never) => Judgement::Skip(SkipReason::OnLoad, Disposition::GivenUp),
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
        let serving = self.is_serving();
        let judgement = match &self.newest {
            Some(newest) if state.seq <= newest.state.seq => return,
            Some(_) if serving && self.is_back(baseline) => {
                self.take_as_applied(state, effects);
                return;
            }
            Some(newest) => judge_later(&self.policy, newest, absent),
            None => {
                let applied = baseline == Baseline::Applied;
                if applied {
                    self.history.applied = Some((state.seq, state.version));
                }
                if self.recognise(&state) {
                    let disposition = if applied { Disposition::Applied } else { Disposition::Open };
                    self.newest = Some(Newest { state, disposition, passed: true, owed: false, void: false });
                    return;
                }
                if applied && self.policy.guard.max_shrink.is_some() && self.yardstick == Yardstick::Missing {
                    self.yardstick = Yardstick::Applied(state.content.entries());
                    effects.push(Effect::Recognised(state.clone()));
                }
                let baseline = if self.recover { Baseline::Interrupted } else { baseline };
                let judgement = judge_first(&self.policy, baseline, absent);
                // A retiring machine leaves the judging of a first state to its successor.
                let owed = matches!(baseline, Baseline::Interrupted | Baseline::Pending);
                if serving || owed {
                    judgement
                } else {
                    Judgement::Skip(SkipReason::Retiring, Disposition::SeenAtLoad)
                }
            }
        };
        self.gave_up = false;
        let judged = self.policy.guard.judges(absent);
        // A state that was applied, or that the watch gave up on, has passed the guard or was released.
        let known = matches!(baseline, Baseline::Applied | Baseline::GaveUp);
        let passed = !judged || (self.newest.is_none() && known);
        match judgement {
            // A deletion that runs nothing is a state like any other to the guard.
            Judgement::Skip(SkipReason::Absent, _) if !passed => {
                let disposition = {
                    let (state, reason) = (state.clone(), Reason::Delete);
                    self.admit(now, Arrival { state, updates: 0, reason, void: true, passed }, effects)
                };
                self.newest = Some(Newest { state, disposition, passed, owed: false, void: true });
            }
            Judgement::Skip(why, disposition) => {
                self.gave_up = disposition == Disposition::GivenUp;
                if why == SkipReason::Absent {
                    self.drop_outdated(now, effects);
                }
                let void = why == SkipReason::Absent;
                let hold =
                    if passed || why != SkipReason::OnLoad { None } else { self.weigh(&state.content) };
                let (seq, counted) = (state.seq, !passed && why == SkipReason::OnLoad && hold.is_none());
                let owed = counted && self.policy.guard.validates(absent);
                let passed = passed || (counted && !owed);
                self.skip(now, seq, if hold.is_some() { SkipReason::Held } else { why }, effects);
                self.newest = Some(Newest { state, disposition, passed, owed, void });
                if let Some(hold) = hold {
                    self.carried += if void { 0 } else { updates };
                    self.hold(seq, hold, effects);
                }
            }
            Judgement::Run(reason) => {
                let disposition = {
                    let state = state.clone();
                    self.admit(now, Arrival { state, updates, reason, void: false, passed }, effects)
                };
                self.newest = Some(Newest { state, disposition, passed, owed: false, void: false });
            }
        }
    }

    /// Whether a state that comes after a held one is what was last applied, and nothing else has run since.
    fn is_back(&self, baseline: Baseline) -> bool {
        baseline == Baseline::Applied
            && self.held().is_some()
            && self.live.is_empty()
            && self.waiting.is_empty()
    }

    fn take_as_applied(&mut self, state: State, effects: &mut Vec<Effect>) {
        (self.carried, self.gave_up) = (0, false);
        self.history.applied = Some((state.seq, state.version));
        self.yardstick = Yardstick::Applied(state.content.entries());
        effects.push(Effect::Recognised(state.clone()));
        self.newest =
            Some(Newest { state, disposition: Disposition::Applied, passed: true, owed: false, void: false });
    }

    /// Whether an adopted run was given this first state: then it waits for that run.
    fn recognise(&mut self, state: &State) -> bool {
        if state.content.is_absent() && self.policy.on_delete == OnDelete::Ignore {
            return false;
        }
        let mut known = false;
        let entries = self.counted(&state.content);
        for live in self.live.iter_mut().filter(|live| live.version == Some(state.version)) {
            live.seq = Some(state.seq);
            live.entries = entries;
            known = true;
        }
        known
    }

    /// A state that is to be run meets the run mode.
    fn admit(&mut self, now: Instant, arrival: Arrival, effects: &mut Vec<Effect>) -> Disposition {
        let Arrival { state, updates, reason, void, passed } = arrival;
        // A deletion that only waits for the guard will not run.
        let busy = !self.live.is_empty() && self.waiting.iter().all(|entry| entry.void);
        let beside = match self.policy.run_mode {
            RunMode::Discard if busy && !void => {
                self.supersede_void(now, effects);
                self.discarded += updates;
                self.skip(now, state.seq, SkipReason::Discarded, effects);
                return Disposition::Discarded;
            }
            RunMode::Queue | RunMode::Discard | RunMode::Restart => false,
            RunMode::Parallel { .. } => true,
        };
        if !self.is_serving() {
            self.skip(now, state.seq, SkipReason::Retiring, effects);
            return Disposition::Open;
        }
        if passed {
            self.notify(effects);
        }
        let fresh = updates + std::mem::take(&mut self.carried);
        let full = self.waiting.len() >= MOST_WAITING;
        let together = !beside || full || self.is_suspended();
        match self.waiting.back_mut() {
            Some(last) if together || last.fated || last.is_settling() => {
                let replaced = (!last.fated).then_some(last.state.seq);
                last.renew(now, state, fresh, reason, void, &self.policy);
                last.passage = Passage::of(passed);
                if let Some(seq) = replaced {
                    self.skip(now, seq, SkipReason::Superseded, effects);
                }
            }
            Some(_) | None => {
                let entry = PendingState::update(now, state, fresh, reason, &self.policy);
                self.waiting.push_back(PendingState { passage: Passage::of(passed), void, ..entry });
            }
        }
        if void
            && self.policy.run_mode == RunMode::Discard
            && busy
            && let Some(last) = self.waiting.back_mut()
        {
            // Whatever comes while the action runs is discarded; this one would wait for the guard alone.
            last.wait = Wait::Ready;
        }
        Disposition::Open
    }

    /// The key is back before the guard has judged its deletion.
    fn supersede_void(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if let Some(gone) = self.waiting.pop_back_if(|last| last.void) {
            self.carried += gone.fresh;
            if !gone.fated {
                self.skip(now, gone.state.seq, SkipReason::Superseded, effects);
            }
        }
    }

    /// The key is gone and that runs nothing: what waited with an older state is not run with it any more.
    /// In parallel mode only what could still be replaced goes; every other update has its run.
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
            Disposition::Applied | Disposition::SeenAtLoad | Disposition::Absent | Disposition::Held(_) => {
                return;
            }
            Disposition::Discarded => self.discarded,
            Disposition::Open | Disposition::GivenUp => self.history.last_coalesced(),
            Disposition::ChangedWhileDown => 1,
        };
        if self.live.iter().any(|live| live.seq == Some(newest.state.seq)) {
            return;
        }
        newest.disposition = Disposition::Open;
        self.gave_up = false;
        let reason = if newest.state.content.is_absent() { Reason::Delete } else { Reason::Change };
        let wait = Wait::Ready;
        let entry = newest.again(now, reason, 1, repeated.max(1), wait);
        self.waiting.push_back(entry);
    }
}
