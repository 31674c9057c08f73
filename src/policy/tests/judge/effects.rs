//! The requirements for single effects: starts, signals, skips.

use super::{Checked, Claim, Judge, LiveSeen, Newest, Turn, Unfated};
use crate::policy::{Baseline, Control, ControlResult, Effect, Input, PermitEffect, Sent, SkipReason};
use crate::watch::{OnDelete, OnFailure, PolicySpec, Reason, Retries, RunId, RunMode, RunOnLoad, Verdict};
use crate::watch::{State, Version};
use std::time::Instant;

impl Judge {
    fn held_back(&mut self, version: Version) -> Checked {
        demand!(self.newest_fails(), "held back what passes");
        if let Some(newest) = &mut self.newest {
            demand!(version == super::super::fixture::version(newest.seq), "held {version}");
            demand!(!newest.held, "held twice");
            (newest.held, newest.claim) = (true, Claim::Nothing);
            let seq = newest.seq;
            self.triggered.remove(&seq);
            self.ends_waiver(seq);
        }
        Ok(())
    }

    fn given_to_validate(&mut self, state: &State, turn: &Turn<'_>) -> Checked {
        let (seq, absent) = (state.seq.0, state.content.is_absent());
        demand!(self.validating.is_none(), "validates two at once");
        demand!(!self.held() && !self.retiring, "validates while held or retiring");
        demand!(self.validates(absent) && !self.fails(absent), "validates what needs no validation");
        let newest = self.newest.filter(|newest| newest.seq == seq);
        demand!(newest.is_none_or(|newest| !newest.passed && !newest.invalid), "validates what is judged");
        match self.unfated.get(&seq) {
            Some(fresh) => {
                demand!(fresh.valid.is_none(), "validates {seq} again");
                let hurried = matches!(turn.input, Input::Control(Control::Trigger(_)));
                let discarding = self.policy.run_mode == RunMode::Discard && absent;
                let settled =
                    hurried || discarding || self.triggered.contains(&seq) || self.now >= self.quiet(fresh);
                demand!(settled, "validated before it was quiet");
                let older = self.unfated.range(..seq).find(|(seq, fresh)| !self.is_valid(**seq, fresh));
                demand!(older.is_none(), "validates {seq} before an older one");
            }
            None => demand!(newest.is_some(), "validates a superseded state"),
        }
        self.validating = Some(seq);
        Ok(())
    }

    fn recognised(&mut self, state: &State, turn: &mut Turn<'_>) -> Checked {
        let newest = self.newest.map(|newest| newest.seq);
        demand!(turn.back && newest == Some(state.seq.0), "recognised a strange state");
        turn.back = false;
        self.last_applied = newest;
        Ok(())
    }

    pub(super) fn hear(&mut self, effect: &Effect, turn: &mut Turn<'_>) -> Checked {
        // What comes late is given back, skipped or answered.
        let late = matches!(
            effect,
            Effect::Release
                | Effect::Permit(PermitEffect::Return { .. })
                | Effect::Skip { .. }
                | Effect::Answer(_)
        );
        demand!(!self.drained || late, "{effect:?} after Drained");
        match effect {
            Effect::Acquire => {
                demand!(!self.asked, "asked for a second slot");
                demand!(!self.held() && !self.retiring && self.room(), "asked for a slot it cannot use");
                self.asked = true;
            }
            Effect::Release => {
                let claiming = self.fleet.as_mut().is_some_and(|fleet| std::mem::take(&mut fleet.slot));
                demand!(self.asked || claiming, "released what it never asked for");
                self.asked = false;
                turn.slot = false;
            }
            Effect::Start { state, reason, attempt, coalesced, run } => {
                let slot = turn.slot && self.asked;
                demand!(slot || self.fleet.is_some(), "started without a slot");
                (turn.slot, self.asked) = (false, false);
                let known = Self { before: None, ..self.clone() };
                self.started_with_permit(state.seq.0, run, slot)?;
                self.started(state.seq.0, state.content.is_absent(), *reason, *attempt, *coalesced, run)?;
                self.before = Some((run.clone(), Box::new(known)));
            }
            Effect::Permit(effect) => self.hear_permits(effect, turn)?,
            Effect::Signal { run, sent } => self.signalled(run, *sent, turn)?,
            Effect::Skip { seq, why } => {
                self.skipped(seq.0, *why, turn)?;
            }
            Effect::Applied { run, seq, .. } => {
                let seq = Some(seq.0);
                let fits = matches!(turn.input, Input::Ended(e) if e.verdict == Verdict::Succeeded)
                    && turn.ended.as_ref().is_some_and(|live| live.run == *run && live.seq == seq);
                demand!(fits, "applied without success");
                demand!(self.last_applied <= seq, "applied backwards");
                self.last_applied = seq;
            }
            Effect::Held { version, .. } => self.held_back(*version)?,
            Effect::Validate { state, .. } => self.given_to_validate(state, turn)?,
            Effect::EndValidation => self.validation_ended()?,
            Effect::Recognised(state) => self.recognised(state, turn)?,
            Effect::GaveUp { run, attempts } => {
                demand!(self.policy.on_failure == OnFailure::Keep, "gave up instead of a stop");
                self.exhausted_by(run, *attempts, turn)?;
                demand!(!self.retiring, "{run} gave up late");
                self.gave_up = true;
            }
            Effect::Stopped { run, attempts } => {
                demand!(self.policy.on_failure == OnFailure::Stop, "stopped instead of giving up");
                self.exhausted_by(run, *attempts, turn)?;
                self.gave_up = true;
                demand!(
                    matches!(turn.input, Input::Ended(e) if e.verdict == Verdict::Failed),
                    "stopped by no failure"
                );
                demand!(!self.stopped && !self.retiring, "stopped twice or late");
                self.stopped = true;
            }
            Effect::Revived => {
                demand!(
                    matches!(turn.input, Input::Control(Control::Resume)) && self.stopped,
                    "revived unasked"
                );
                self.stopped = false;
                self.gave_up = false;
                self.resumed = true;
            }
            Effect::Resumed => {
                let asked = matches!(turn.input, Input::Control(Control::Resume)) && self.paused.is_some();
                let over = matches!(turn.input, Input::Control(Control::Pause { until: Some(until) }) if *until <= self.now);
                demand!(asked || over || turn.resumptions > 0, "resumed unasked");
                if turn.resumptions > 0 {
                    turn.resumptions -= 1;
                } else {
                    self.paused = None;
                }
                self.resumed = true;
            }
            Effect::Answer(answer) => {
                turn.answers += 1;
                let right = match turn.refusal {
                    Some(refusal) => ControlResult::Refused(refusal),
                    None => ControlResult::Accepted,
                };
                demand!(*answer == right, "answered {answer:?}, not {right:?}");
            }
            Effect::Drained => {
                demand!(self.retiring && self.live.is_empty() && !self.drained, "drained too early or twice");
                self.drained = true;
            }
        }
        Ok(())
    }

    fn validation_ended(&mut self) -> Checked {
        let open = self.validating.take().ok_or("ended a validation that was not begun")?;
        let wanted = self.unfated.contains_key(&open)
            || self.newest.is_some_and(|newest| newest.seq == open && !newest.passed);
        demand!(self.held() || self.retiring || !wanted, "ended the validation of {open}");
        Ok(())
    }

    /// The run that has just ended used up the last retry.
    fn exhausted_by(&self, run: &RunId, attempts: u32, turn: &Turn<'_>) -> Checked {
        let told = |live: &LiveSeen| live.run == *run && live.attempt == attempts && self.exhausted(attempts);
        demand!(turn.ended.as_ref().is_some_and(told), "{run}, attempt {attempts}, used up no last retry");
        Ok(())
    }

    pub(super) fn exhausted(&self, attempt: u32) -> bool {
        match self.policy.retries {
            Retries::AtMost(most) => attempt > most,
            Retries::Unlimited => false,
        }
    }

    pub(super) fn started(
        &mut self,
        seq: u64,
        absent: bool,
        reason: Reason,
        attempt: u32,
        coalesced: u64,
        run: &RunId,
    ) -> Checked {
        demand!(!self.held() && !self.retiring, "started while held or retiring");
        demand!(self.room(), "started beyond the mode's room");
        demand!(self.last_start.is_none_or(|(last, _)| last <= seq), "started backwards");
        demand!(self.live.iter().all(|live| live.run != *run), "a run id was used twice");
        demand!(!absent || self.policy.on_delete == OnDelete::Run, "ran an ignored deletion");
        let released = self.newest.is_some_and(|newest| newest.seq == seq && newest.passed);
        let valid = self.unfated.get(&seq).is_some_and(|fresh| fresh.valid.is_some());
        demand!(!self.fails(absent) || released || valid, "ran what the guard holds back");
        demand!(!self.validates(absent) || released || valid, "ran what was not validated");
        let newest = self.newest.ok_or("started what was never seen")?;
        let urgent = reason == Reason::Trigger;
        if let (false, Some((_, last))) = (urgent, self.last_start) {
            demand!(self.now >= last + self.policy.min_interval, "started before the interval was over");
        }
        let split = match reason {
            Reason::Delete => absent,
            Reason::Load | Reason::Change => !absent,
            Reason::Retry | Reason::Trigger | Reason::Recovery => true,
        };
        demand!(split, "{reason:?} does not fit the state");
        if reason == Reason::Load {
            demand!(!self.loaded, "loaded twice");
            self.loaded = true;
        }
        let again = self.prevented.take();
        let busy = again.is_some_and(|prevented| prevented.at == self.now && !prevented.excused);
        demand!(!busy, "prevented, and started again in a busy loop");
        let eldest = self.unfated.keys().next().copied();
        if let Some(fresh) = self.unfated.remove(&seq) {
            demand!(eldest == Some(seq), "an older state was overtaken");
            demand!(self.parallel() || seq == newest.seq, "not the newest state");
            demand!(coalesced == fresh.own + fresh.surplus, "stands for {coalesced} updates");
            demand!(reason != Reason::Retry, "a retry of what never ran");
            demand!(attempt == 1, "attempt {attempt} of what never ran");
            if !urgent {
                demand!(self.now >= self.quiet(&fresh), "started before it was quiet");
                let shortest = self.policy.settle.min(self.policy.settle_max) + self.policy.splay;
                demand!(self.now >= fresh.first + shortest, "started before its splay");
            }
        } else {
            demand!(seq == newest.seq, "repeated an outdated state");
            self.repeated(reason, attempt)?;
            if let Some(released) = self.released.take() {
                demand!(coalesced == released.updates.max(1), "released for {coalesced} updates");
            }
        }
        if urgent {
            demand!(self.triggered.remove(&seq), "triggered unasked");
        }
        if seq == newest.seq {
            let claim =
                if absent && newest.claim == Claim::Nothing { Claim::Nothing } else { Claim::Applying };
            self.newest = Some(Newest { claim, ..newest });
            self.resumed = false;
            self.gave_up = false;
        }
        self.lapse = None;
        self.last_start = Some((seq, self.now));
        let (seq, started, adopted) = (Some(seq), self.now, false);
        self.live.push(LiveSeen {
            run: run.clone(),
            seq,
            started,
            attempt,
            term: None,
            killed: false,
            adopted,
        });
        Ok(())
    }

    /// When `settle` releases a state that came then.
    pub(super) fn quiet(&self, fresh: &Unfated) -> Instant {
        (fresh.at + self.policy.settle).min(fresh.first + self.policy.settle_max)
    }

    /// When its waits after the guard are over at the latest: `validate` takes time.
    pub(super) fn splayed(&self, fresh: &Unfated) -> Instant {
        let quiet = self.quiet(fresh);
        [fresh.valid, fresh.drawn].into_iter().flatten().fold(quiet, Instant::max) + self.policy.splay
    }

    /// A state that was started or skipped runs (again): checks that it may.
    pub(super) fn repeated(&self, reason: Reason, attempt: u32) -> Checked {
        match (reason, self.lapse) {
            (Reason::Retry, Some(lapse)) => {
                demand!(lapse.verdict == Verdict::Failed, "a retry without a failure");
                demand!(!self.exhausted(lapse.attempt), "one retry too many");
                demand!(attempt == lapse.attempt + 1, "attempt {attempt} after {}", lapse.attempt);
                // The tests' entropy draws the whole delay.
                let doubled = self.policy.retry_delay.saturating_mul(2_u32.saturating_pow(lapse.attempt - 1));
                let delay = doubled.min(self.policy.retry_delay_max);
                demand!(self.now >= lapse.at + delay, "a retry before its delay");
            }
            (Reason::Recovery, Some(lapse)) => {
                demand!(lapse.verdict == Verdict::Unknown || lapse.adopted, "a recovery of a known end");
                demand!(lapse.adopted || self.now > lapse.at, "recovering in a busy loop");
            }
            (Reason::Trigger, _) => {}
            (Reason::Change | Reason::Delete, _) => {
                demand!(self.resumed, "an old state ran by itself");
                // The ledger's record does not count if a load of that state failed.
                let applied = self.last_applied == self.newest.map(|newest| newest.seq);
                demand!(!applied, "resumed with what is applied");
            }
            (Reason::Load | Reason::Retry | Reason::Recovery, _) => {
                return Err(format!("{reason:?} of an old state without cause"));
            }
        }
        Ok(())
    }

    /// Whether the guard has let the newest state pass just now, so that the live runs are to be told of it.
    fn has_just_passed(&self, newest: Newest, turn: &Turn<'_>) -> bool {
        if self.validates(newest.absent) && !newest.passed {
            return false;
        }
        let quiet = match self.unfated.get(&newest.seq) {
            Some(fresh) => {
                let hurried = matches!(turn.input, Input::Control(Control::Trigger(_)));
                let known = newest.passed && (turn.update || self.validates(newest.absent));
                hurried || known || self.triggered.contains(&newest.seq) || self.quiet(fresh) <= self.now
            }
            // It had its fate: it was discarded or held before.
            None => !turn.update,
        };
        quiet && !newest.notified && !self.newest_fails()
    }

    fn signalled(&mut self, run: &RunId, sent: Sent, turn: &Turn<'_>) -> Checked {
        let newest = self.newest;
        let guarded = newest.is_some_and(|newest| self.guards(newest.absent));
        let fails = self.newest_fails() || newest.is_some_and(|n| self.validates(n.absent) && !n.passed);
        let passed = newest.is_some_and(|newest| self.has_just_passed(newest, turn));
        let due = |live: &LiveSeen, policy: &PolicySpec| {
            policy.timeout.map(|timeout| live.started + timeout).into_iter().chain(self.close).min()
        };
        let restart = self.policy.run_mode == RunMode::Restart && !self.held() && !self.retiring;
        let restart = restart && self.may_exchange();
        let asked = !self.triggered.is_empty() || self.resumed;
        let Some(live) = self.live.iter_mut().find(|live| live.run == *run) else {
            return Err(format!("{sent:?} to {run}, which is not live"));
        };
        match sent {
            Sent::Notify => {
                demand!(if guarded { passed } else { turn.update }, "notified without an update");
                demand!(
                    self.policy.run_mode == RunMode::Queue && self.policy.notify_signal.is_some(),
                    "notified in this mode"
                );
                demand!(live.term.is_none() && !self.retiring, "notified while being ended");
                demand!(
                    newest.is_some_and(|n| !n.absent || self.policy.on_delete == OnDelete::Run),
                    "notified of nothing"
                );
            }
            Sent::Term => {
                demand!(live.term.is_none(), "TERM twice");
                let overdue = due(live, &self.policy).is_some_and(|at| at <= self.now);
                let newer = restart
                    && !fails
                    && (asked || newest.is_some_and(|n| live.seq.is_none_or(|seq| seq < n.seq)));
                demand!(overdue || newer, "TERM without cause");
                live.term = Some(self.now);
            }
            Sent::Kill => {
                demand!(!live.killed, "KILL twice");
                let grace = live.term.is_some_and(|term| self.now >= term + self.policy.kill_after);
                demand!(grace, "KILL without its time after TERM");
                live.killed = true;
            }
        }
        Ok(())
    }

    fn skipped(&mut self, seq: u64, why: SkipReason, turn: &Turn<'_>) -> Checked {
        let Some(skipped) = self.unfated.remove(&seq) else {
            return Err(format!("a second fate for {seq}: {why:?}"));
        };
        let mut newest = self.newest.ok_or("skipped what was never seen")?;
        if why == SkipReason::Superseded {
            match self.unfated.range_mut(seq..).next() {
                Some((later, next)) => {
                    if self.triggered.remove(&seq) {
                        self.triggered.insert(*later);
                    }
                    next.surplus += skipped.own + skipped.surplus;
                    next.first = skipped.first;
                    next.drawn = next.drawn.max(skipped.valid).max(skipped.drawn);
                }
                // A released state had its fate, and now stands for those before it.
                None => match &mut self.released {
                    Some(released) if released.seq > seq => {
                        if self.triggered.remove(&seq) {
                            self.triggered.insert(released.seq);
                        }
                        released.updates += skipped.own + skipped.surplus;
                    }
                    Some(_) | None => return Err(format!("{seq} superseded by nothing")),
                },
            }
            return Ok(());
        }
        if (turn.invalid == Some(seq) || why == SkipReason::Absent) && seq != newest.seq {
            demand!(
                self.parallel() && matches!(why, SkipReason::Held | SkipReason::Absent),
                "{why:?} of {seq}"
            );
            demand!(why == SkipReason::Held || skipped.valid.is_some(), "absent, and not validated");
            demand!(why == SkipReason::Held || skipped.absent, "absent, though it is there");
            self.triggered.remove(&seq);
            let updates = skipped.surplus + if why == SkipReason::Held { skipped.own } else { 0 };
            match (self.unfated.range_mut(seq..).next(), &mut self.released) {
                (Some((_, next)), _) => next.surplus += updates,
                (None, Some(released)) => released.updates += updates,
                (None, None) => self.carried += updates,
            }
            return Ok(());
        }
        if why == SkipReason::Held {
            // What is not to be run on load waits for nothing, nor does a deletion in discard mode during a run.
            let first = turn.update && turn.first;
            let loading = self.policy.run_on_load == RunOnLoad::Never && first;
            let discarding = self.policy.run_mode == RunMode::Discard && newest.void;
            let hurried = matches!(turn.input, Input::Control(Control::Trigger(_)));
            let settled = hurried
                || loading
                || discarding
                || turn.invalid == Some(seq)
                || self.triggered.contains(&seq)
                || self.now >= self.quiet(&skipped);
            demand!(settled, "judged before it was quiet");
            demand!(self.newest_fails() && seq == newest.seq, "held back what passes");
            self.carried += skipped.own;
        }
        self.carried += skipped.surplus;
        // A request ends with the state that it was made for.
        self.triggered.remove(&seq);
        self.ends_waiver(seq);
        demand!(self.retiring || seq == newest.seq, "{why:?} for an old state");
        let claim = match why {
            SkipReason::Superseded => Claim::Applying,
            SkipReason::OnLoad => {
                demand!(self.last_start.is_none(), "on load after a start");
                // It differs from what was applied: somebody may want it yet.
                let Input::State { baseline, .. } = turn.input else {
                    return Err("on load without a state".into());
                };
                self.gave_up = *baseline == Baseline::GaveUp;
                if matches!(baseline, Baseline::Changed | Baseline::GaveUp) {
                    Claim::Resumable
                } else {
                    Claim::Nothing
                }
            }
            SkipReason::Discarded => {
                demand!(
                    self.policy.run_mode == RunMode::Discard && !self.live.is_empty(),
                    "discarded with nothing live"
                );
                Claim::Resumable
            }
            SkipReason::Absent => {
                demand!(newest.absent, "absent, though it is there");
                demand!(!self.newest_fails(), "absent, and the guard was not asked");
                demand!(!self.validates(true) || newest.passed, "absent, and validate was not asked");
                Claim::Nothing
            }
            SkipReason::Held => Claim::Nothing,
            SkipReason::Retiring => {
                demand!(self.retiring, "skipped as retiring while it serves");
                newest.claim
            }
        };
        if seq == newest.seq {
            newest.claim = claim;
            self.newest = Some(newest);
        }
        Ok(())
    }
}
