//! The guard: holds back a state that has lost too many entries. A state is judged once, after it has settled and
//! before everything else that a start waits for.

use std::time::Instant;

use super::effect::{Effect, Sent, SkipReason};
use super::hold::{Hold, Yardstick};
use super::machine::{Disposition, Entropy, Machine};
use super::waiting::Passage;
use crate::watch::{Content, Guard, RunMode, Seq};

/// Judges a state that has so many entries; `None`: it passes.
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

    /// Judges a state. One that passes is what the next one is compared with, where the ledger had no count.
    pub(super) fn weigh(&mut self, content: &Content) -> Option<Hold> {
        let guard = self.policy.guard;
        if !guard.is_on() {
            return None;
        }
        let entries = content.entries();
        let hold = judge(guard, entries, self.yardstick);
        if hold.is_none() && self.yardstick == Yardstick::Missing {
            self.yardstick = Yardstick::First(entries);
        }
        hold
    }

    /// The entries of a state that is about to be applied, where they will be compared with.
    pub(super) fn counted(&self, content: &Content) -> Option<u64> {
        self.policy.guard.max_shrink.map(|_| content.entries())
    }

    /// Judges the state that has settled. Only the last one waiting can be unjudged.
    pub(super) fn judge_settled(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.waiting.back().is_some_and(|last| !last.has_passed() && !last.is_settling()) {
            self.judge_last(now, effects);
        }
    }

    /// Judges the newest state now if that was not done yet: somebody asks for it.
    pub(super) fn judge_newest(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.waiting.back().is_some_and(|last| !last.has_passed()) {
            self.judge_last(now, effects);
            return;
        }
        if self.held().is_some() {
            return;
        }
        let unjudged = self.newest.as_ref().filter(|newest| !newest.passed);
        let Some(state) = unjudged.map(|newest| newest.state.clone()) else { return };
        match self.weigh(&state.content) {
            Some(hold) => self.hold(state.seq, hold, effects),
            None => self.let_pass(state.seq),
        }
    }

    fn judge_last(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(content) = self.waiting.back().map(|last| last.state.content.clone()) else { return };
        match self.weigh(&content) {
            Some(hold) => {
                let Some(last) = self.waiting.pop_back() else { return };
                self.carried += last.fresh;
                if !last.fated {
                    self.skip(now, last.state.seq, SkipReason::Held, effects);
                }
                self.hold(last.state.seq, hold, effects);
            }
            None => self.pass_last(now, effects),
        }
    }

    fn pass_last(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(last) = self.waiting.back_mut() else { return };
        last.passage = Passage::Passed;
        let seq = last.state.seq;
        self.let_pass(seq);
        if let Some(nothing) = self.waiting.pop_back_if(|last| last.void) {
            self.carried += nothing.fresh;
            if !nothing.fated {
                self.skip(now, seq, SkipReason::Absent, effects);
            }
            self.dispose(seq, Disposition::Absent);
        } else {
            self.notify(effects);
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
        if let Some(newest) = &self.newest
            && newest.state.seq == seq
        {
            effects.push(Effect::Held { version: newest.state.version, hold });
        }
        self.dispose(seq, Disposition::Held(hold));
    }

    fn let_pass(&mut self, seq: Seq) {
        if let Some(newest) = &mut self.newest
            && newest.state.seq == seq
        {
            newest.passed = true;
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
        Guard { min_entries, max_shrink }
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
