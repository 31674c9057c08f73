//! Requests of operators, a changed definition, and the daemon's shutdown.

use std::time::Instant;

use super::effect::{ControlResult, Effect, Refusal, SkipReason};
use super::input::{Control, Pause, Permission};
use super::machine::{Disposition, Entropy, Lifecycle, Machine};
use super::waiting::Wait;
use crate::watch::{OnDelete, Reason, RunMode};

impl<S: Entropy> Machine<S> {
    pub(super) fn control(&mut self, now: Instant, control: Control, effects: &mut Vec<Effect>) {
        if self.is_serving() && matches!(control, Control::Trigger(_)) && !self.is_suspended() {
            self.judge_newest(now, effects);
        }
        let refusal = match self.lifecycle {
            Lifecycle::Retiring | Lifecycle::Drained => Some(Refusal::Retiring),
            Lifecycle::Serving => match control {
                Control::Trigger(_) => self.trigger_refusal(),
                Control::Pause { .. } => None,
                Control::Release => self.release_refusal(),
                Control::Resume => (!self.is_suspended()).then_some(Refusal::NothingToResume),
            },
        };
        if let Some(refusal) = refusal {
            effects.push(Effect::Answer(ControlResult::Refused(refusal)));
            return;
        }
        effects.push(Effect::Answer(ControlResult::Accepted));
        match control {
            Control::Trigger(permission) => {
                self.trigger(now);
                if let Some(last) = self.waiting.back_mut() {
                    last.permitless |= permission == Permission::Waived;
                }
            }
            Control::Pause { until } => {
                self.paused = Some(Pause { until });
                // A permission does not outlast a pause: the fleet may act differently when that ends.
                self.waiting.iter_mut().for_each(|entry| entry.permitless = false);
                self.gather(now, effects);
            }
            Control::Resume => {
                if self.paused.take().is_some() {
                    effects.push(Effect::Resumed);
                }
                if std::mem::replace(&mut self.stopped, false) {
                    self.gave_up = false;
                    effects.push(Effect::Revived);
                }
                self.catch_up(now);
            }
            Control::Release => self.release(now, effects),
        }
    }

    fn release_refusal(&self) -> Option<Refusal> {
        if self.stopped {
            return Some(Refusal::Stopped);
        }
        if self.paused.is_some() {
            return Some(Refusal::Paused);
        }
        self.held().is_none().then_some(Refusal::NotHeld)
    }

    fn trigger_refusal(&self) -> Option<Refusal> {
        if self.stopped {
            return Some(Refusal::Stopped);
        }
        if self.paused.is_some() {
            return Some(Refusal::Paused);
        }
        let Some(newest) = &self.newest else { return Some(Refusal::NoState) };
        if self.held().is_some() {
            return Some(Refusal::Held);
        }
        if newest.state.content.is_absent() && self.policy.on_delete == OnDelete::Ignore {
            return Some(Refusal::Absent);
        }
        let busy = match self.policy.run_mode {
            RunMode::Discard => !self.live.is_empty(),
            RunMode::Queue | RunMode::Restart | RunMode::Parallel { .. } => false,
        };
        busy.then_some(Refusal::Running)
    }

    /// A waiting entry serves the trigger too; otherwise the newest state runs again.
    ///
    /// In parallel mode the trigger is the last to start of what waits, since no start goes backwards.
    pub(super) fn trigger(&mut self, now: Instant) {
        if let Some(last) = self.waiting.back_mut() {
            last.hurry();
            if std::mem::replace(&mut last.void, false)
                && let Some(newest) = &mut self.newest
            {
                // The trigger asks for a run with the deletion that is being judged.
                newest.void = false;
            }
            return;
        }
        let Some(newest) = &mut self.newest else { return };
        self.gave_up = false;
        match newest.disposition {
            // A triggered success stays a success, and a trigger cannot delete a key that never existed.
            Disposition::Applied | Disposition::Absent => {}
            Disposition::Open
            | Disposition::SeenAtLoad
            | Disposition::ChangedWhileDown
            | Disposition::Discarded
            | Disposition::GivenUp
            | Disposition::Held(_) => {
                newest.disposition = Disposition::Open;
            }
        }
        let mut entry = newest.again(now, Reason::Trigger, 1, 0, Wait::Ready);
        entry.hurry();
        self.waiting.push_back(entry);
    }

    /// A suspended watch keeps only the newest waiting entry, which stands for all of them.
    fn gather(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        while self.waiting.len() > 1
            && let Some(older) = self.waiting.pop_front()
        {
            self.skip(now, older.state.seq, SkipReason::Superseded, effects);
            if let Some(next) = self.waiting.front_mut() {
                next.absorb(&older);
            }
        }
    }

    pub(super) fn retire(&mut self, now: Instant, deadline: Option<Instant>, effects: &mut Vec<Effect>) {
        self.close(now, effects);
        if self.policy.timeout.is_none()
            && let Some(deadline) = deadline
        {
            self.live.iter_mut().for_each(|live| live.limit(deadline));
        }
    }

    pub(super) fn stop(&mut self, now: Instant, deadline: Instant, effects: &mut Vec<Effect>) {
        self.close(now, effects);
        self.live.iter_mut().for_each(|live| live.limit(deadline));
    }

    fn close(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.is_serving() {
            self.lifecycle = Lifecycle::Retiring;
        }
        for entry in std::mem::take(&mut self.waiting) {
            if !entry.fated {
                self.skip(now, entry.state.seq, SkipReason::Retiring, effects);
            }
        }
    }
}
