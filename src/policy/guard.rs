//! The guard: holds back a state that has lost too many entries, or that `validate` refuses. A state is judged once, after
//! it has settled and before everything else that a start waits for.
//!
//! Entries are counted at once. `validate` takes time: it judges one state after the other, oldest first, and only
//! while runs may start. In every mode but parallel a newer state supersedes the one that is being judged.

use std::time::Instant;

use super::effect::{Effect, Sent, SkipReason};
use super::hold::{Hold, Yardstick};
use super::machine::{Disposition, Entropy, Machine};
use super::waiting::{Passage, PendingState};
use crate::watch::{Content, Guard, Reason, RunMode, Seq, State, Validate};

/// Judges a state with this many entries; `None`: it passes.
pub(super) fn judge(guard: Guard, entries: u64, yardstick: Yardstick) -> Option<Hold> {
    if entries < guard.min_entries {
        return Some(Hold::TooFew { entries, least: guard.min_entries });
    }
    let percent = guard.max_shrink?;
    let applied = yardstick.entries()?;
    let kept = u128::from(100 - percent.min(100));
    let shrunk = u128::from(entries) * 100 < u128::from(applied) * kept;
    shrunk.then_some(Hold::Shrunk { entries, applied, percent })
}

impl<S: Entropy> Machine<S> {
    /// Tells how many entries the last applied state had, by the ledger. To be told before any input.
    pub fn remember_entries(&mut self, entries: u64) {
        self.yardstick = Yardstick::Applied(entries);
    }

    /// What `max_shrink` compares with, if the watch has it.
    pub fn yardstick(&self) -> Option<Yardstick> {
        self.policy.guard.max_shrink.map(|_| self.yardstick)
    }

    /// Whether the newest state is held, and why.
    pub fn held(&self) -> Option<Hold> {
        match self.newest.as_ref()?.disposition {
            Disposition::Held(hold) => Some(hold),
            Disposition::Open
            | Disposition::Applied
            | Disposition::SeenAtLoad
            | Disposition::ChangedWhileDown
            | Disposition::Discarded
            | Disposition::Absent
            | Disposition::GivenUp => None,
        }
    }

    /// Judges a state by its entries.
    pub(super) fn weigh(&mut self, content: &Content) -> Option<Hold> {
        let guard = self.policy.guard;
        if !guard.is_on() {
            return None;
        }
        let hold = judge(guard, content.entries(), self.yardstick);
        if hold.is_none() && !guard.validates(content.is_absent()) {
            self.compare_with(content);
        }
        hold
    }

    /// Where the ledger has no count, `max_shrink` compares the next state with this one, which passed.
    fn compare_with(&mut self, content: &Content) {
        if self.policy.guard.max_shrink.is_some() && self.yardstick == Yardstick::Missing {
            self.yardstick = Yardstick::First(content.entries());
        }
    }

    /// The entries of a state that is about to be applied, where they will be compared with.
    pub(super) fn counted(&self, content: &Content) -> Option<u64> {
        self.policy.guard.max_shrink.map(|_| content.entries())
    }

    /// Judges the state that has settled. Only the last one waiting can be unjudged.
    pub(super) fn judge_settled(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.waiting.back().is_some_and(|last| last.is_unjudged() && !last.is_settling()) {
            self.judge_last(now, effects);
        }
    }

    /// Judges the newest state now if that was not done yet: somebody asks for it.
    pub(super) fn judge_newest(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.waiting.back().is_some_and(PendingState::is_unjudged) {
            self.judge_last(now, effects);
            return;
        }
        if self.held().is_some() || self.waiting.back().is_some_and(PendingState::is_counted) {
            return;
        }
        let unjudged = self.newest.as_ref().filter(|newest| !newest.passed);
        let Some(state) = unjudged.map(|newest| newest.state.clone()) else { return };
        match self.weigh(&state.content) {
            Some(hold) => self.hold(state.seq, hold, effects),
            None if self.policy.guard.validates(state.content.is_absent()) => {}
            None => self.let_pass(state.seq),
        }
    }

    fn judge_last(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(at) = self.waiting.len().checked_sub(1) else { return };
        let content = self.waiting[at].state.content.clone();
        match self.weigh(&content) {
            Some(hold) => self.hold_back(now, at, hold, effects),
            None if self.policy.guard.validates(content.is_absent()) => {
                self.waiting[at].passage = Passage::Counted;
            }
            None => self.pass(now, at, effects),
        }
    }

    /// A waiting state is held.
    fn hold_back(&mut self, now: Instant, at: usize, hold: Hold, effects: &mut Vec<Effect>) {
        let Some(entry) = self.waiting.remove(at) else { return };
        self.hand_on(at, entry.fresh);
        if !entry.fated {
            self.skip(now, entry.state.seq, SkipReason::Held, effects);
        }
        self.hold(entry.state.seq, hold, effects);
    }

    /// A waiting state passes.
    fn pass(&mut self, now: Instant, at: usize, effects: &mut Vec<Effect>) {
        let Some(entry) = self.waiting.get_mut(at) else { return };
        entry.passage = Passage::Passed;
        let (seq, void) = (entry.state.seq, entry.void);
        self.let_pass(seq);
        if !void {
            return self.notify(effects);
        }
        let Some(nothing) = self.waiting.remove(at) else { return };
        self.hand_on(at, nothing.fresh);
        if !nothing.fated {
            self.skip(now, seq, SkipReason::Absent, effects);
        }
        self.dispose(seq, Disposition::Absent);
    }

    /// The updates of a state that is not run count for the next one: that which now waits at this place, or the next
    /// to come.
    fn hand_on(&mut self, at: usize, updates: u64) {
        match self.waiting.get_mut(at) {
            Some(next) => next.fresh += updates,
            None => self.carried += updates,
        }
    }

    /// Whether `validate` has not judged the newest state yet.
    pub fn is_judging(&self) -> bool {
        let Some(newest) = self.newest.as_ref().filter(|newest| !newest.passed) else { return false };
        newest.owed
            || self.waiting.iter().any(|entry| entry.state.seq == newest.state.seq && entry.is_counted())
    }

    /// Gives the next state to `validate`, and ends the judgement of one that is superseded.
    pub(super) fn seek_validation(&mut self, effects: &mut Vec<Effect>) {
        let next = self.to_validate();
        let seq = next.as_ref().map(|(state, _, _)| state.seq);
        if self.validating.is_some() && self.validating != seq {
            self.validating = None;
            effects.push(Effect::EndValidation);
        }
        if let Some((state, reason, coalesced)) = next.filter(|_| self.validating.is_none()) {
            self.validating = seq;
            effects.push(Effect::Validate { state, reason, coalesced });
        }
    }

    fn to_validate(&self) -> Option<(State, Reason, u64)> {
        if self.policy.guard.validate == Validate::Nothing || !self.may_start() {
            return None;
        }
        if let Some(entry) = self.waiting.iter().find(|entry| !entry.has_passed()) {
            let told = || (entry.state.clone(), entry.reason, entry.coalesced());
            // A trigger that was refused may have counted its entries before it settled.
            return (entry.is_counted() && !entry.is_settling()).then(told);
        }
        let owed = self.newest.as_ref().filter(|newest| newest.owed && !newest.passed)?;
        Some((owed.state.clone(), Reason::Load, 1))
    }

    /// `validate` has judged a state.
    pub(super) fn validated(&mut self, now: Instant, seq: Seq, valid: bool, effects: &mut Vec<Effect>) {
        if self.validating.take_if(|open| *open == seq).is_none() {
            return;
        }
        let its = |entry: &PendingState| entry.state.seq == seq && entry.is_counted();
        let at = self.waiting.iter().position(its);
        if valid {
            let newest = self.newest.as_ref().filter(|newest| newest.state.seq == seq);
            let content = match at.and_then(|at| self.waiting.get_mut(at)) {
                Some(entry) => {
                    entry.accept(now, self.policy.splay);
                    Some(entry.state.content.clone())
                }
                None => newest.map(|newest| newest.state.content.clone()),
            };
            if let Some(content) = content {
                self.compare_with(&content);
            }
        }
        match (at, valid) {
            (Some(at), true) => self.pass(now, at, effects),
            (Some(at), false) => self.hold_back(now, at, Hold::Invalid, effects),
            (None, true) => self.let_pass(seq),
            (None, false) => self.hold(seq, Hold::Invalid, effects),
        }
    }

    /// An operator lets the held state through.
    pub(super) fn release(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let fresh = std::mem::take(&mut self.carried);
        let Some(newest) = &mut self.newest else { return };
        newest.passed = true;
        if newest.void {
            newest.disposition = Disposition::Absent;
            self.carried = fresh;
            return;
        }
        newest.disposition = Disposition::Open;
        let entry = newest.released(now, fresh);
        self.waiting.push_back(entry);
        self.notify(effects);
    }

    /// Tells the live runs that an update is to be applied after them.
    pub(super) fn notify(&self, effects: &mut Vec<Effect>) {
        if self.policy.run_mode == RunMode::Queue && self.policy.notify_signal.is_some() {
            let told = self.live.iter().filter(|live| live.may_run());
            effects.extend(told.map(|live| Effect::Signal { run: live.run.clone(), sent: Sent::Notify }));
        }
    }

    pub(super) fn hold(&mut self, seq: Seq, hold: Hold, effects: &mut Vec<Effect>) {
        if let Some(newest) = &mut self.newest
            && newest.state.seq == seq
        {
            newest.owed = false;
            effects.push(Effect::Held { version: newest.state.version, hold });
        }
        self.dispose(seq, Disposition::Held(hold));
    }

    fn let_pass(&mut self, seq: Seq) {
        if let Some(newest) = &mut self.newest
            && newest.state.seq == seq
        {
            (newest.passed, newest.owed) = (true, false);
        }
    }

    fn dispose(&mut self, seq: Seq, disposition: Disposition) {
        if let Some(newest) = &mut self.newest
            && newest.state.seq == seq
        {
            newest.disposition = disposition;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(min_entries: u64, max_shrink: Option<u8>) -> Guard {
        Guard { min_entries, max_shrink, ..Guard::default() }
    }

    #[test]
    fn fewer_entries_than_the_least_are_held() {
        for (entries, held) in [(0, true), (2, true), (3, false), (u64::MAX, false)] {
            let hold = judge(guard(3, None), entries, Yardstick::Applied(100));
            assert_eq!(hold.is_some(), held, "{entries}");
        }
    }

    #[test]
    fn more_than_the_percentage_lost_is_held_and_exactly_that_much_passes() {
        let cases = [
            (10, 5, 50, false),
            (10, 4, 50, true),
            (10, 11, 0, false),
            (10, 10, 0, false),
            (10, 9, 0, true),
            (3, 2, 33, true),
            (3, 2, 34, false),
            (0, 0, 0, false),
            (1, 0, 99, true),
            (1, 0, 100, false),
            (u64::MAX, u64::MAX / 2, 50, true),
            (u64::MAX, u64::MAX / 2 + 1, 50, false),
        ];
        for (applied, entries, percent, held) in cases {
            for yardstick in [Yardstick::Applied(applied), Yardstick::First(applied)] {
                let hold = judge(guard(0, Some(percent)), entries, yardstick);
                let expected = Hold::Shrunk { entries, applied, percent };
                assert_eq!(hold, held.then_some(expected), "{entries} of {applied} at {percent}%");
            }
        }
        assert_eq!(judge(guard(0, Some(0)), 0, Yardstick::Missing), None);
    }
}
