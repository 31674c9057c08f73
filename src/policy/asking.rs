//! How a watch comes to its permit, and how it gets rid of it.
//!
//! The front entry asks as soon as nothing of its own holds it back. With the permit it asks for a slot, and in the
//! slot it claims: the store confirms that the permit still holds. Only a fresh claim lets the action start. Each state
//! needs a permit of its own; a retry of the same state keeps the permit until its deadline.

use std::time::Instant;

use super::effect::{Effect, PermitEffect};
use super::machine::{Disposition, Entropy, Machine};
use super::permit::{Acting, After, Grant, Next, PermitStage, Permits, Step};
use super::runs::LiveRun;
use super::waiting::{PendingState, later};
use crate::watch::{PermitId, RunMode, Seq};

impl Permits {
    /// Forgets the permit of the next start. Returns it unless it is `gone`.
    fn drop_next(&mut self, failed: bool, gone: bool, effects: &mut Vec<Effect>) {
        let Some(Next { grant, step }) = self.next.take() else { return };
        if step == Step::Claiming {
            effects.push(Effect::Release);
        }
        if !gone {
            effects.push(PermitEffect::Return { permit: grant.permit, failed }.into());
        }
    }

    fn drop_hold(&mut self, effects: &mut Vec<Effect>) {
        if let Some((permit, _)) = self.hold.take() {
            effects.push(PermitEffect::Return { permit, failed: false }.into());
        }
    }
}

impl<S: Entropy> Machine<S> {
    /// From now on nothing starts without a permit. To be said before any input, and before [`Machine::adopt`].
    pub fn need_permits(&mut self) {
        self.permits.get_or_insert_default();
    }

    /// Where it stands with its permit; `None`: it needs none.
    pub fn permit_stage(&self) -> Option<PermitStage> {
        self.permits.as_deref().map(Permits::stage)
    }

    /// Whether the next start may ask for a slot.
    pub(super) fn has_permit(&self) -> bool {
        self.permits.as_deref().is_none_or(|permits| {
            let granted = permits.next.is_some_and(|next| matches!(next.step, Step::Granted | Step::Kept));
            granted || self.is_permitless()
        })
    }

    /// Whether an operator triggered the next start without a permit.
    fn is_permitless(&self) -> bool {
        self.waiting.front().is_some_and(|entry| entry.permitless)
    }

    /// Whether nothing but `min_interval` keeps the front entry, which is ready, from its next step.
    pub(super) fn awaits_interval(&self) -> bool {
        let Some(permits) = self.permits.as_deref() else { return self.has_room() && !self.asked };
        match permits.next {
            Some(_) => self.has_permit() && self.has_room() && !self.asked,
            None => permits.asked.is_none() && self.may_ask(),
        }
    }

    /// A run of an older state is exchanged for the next one in restart mode: its permit is asked for meanwhile.
    fn may_ask(&self) -> bool {
        match self.policy.run_mode {
            RunMode::Restart => true,
            RunMode::Queue | RunMode::Discard | RunMode::Parallel { .. } => self.has_room(),
        }
    }

    /// When a permit has to be returned though nothing else happens.
    pub(super) fn permit_deadline(&self) -> Option<Instant> {
        let permits = self.permits.as_deref()?;
        let next = permits.next.map(|next| next.grant.deadline);
        let hold = permits.hold.map(|(_, until)| until);
        [next, hold].into_iter().flatten().min()
    }

    /// Asks for the permit that the front entry needs, and returns what is of no use any more.
    pub(super) fn seek_permit(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(mut permits) = self.permits.take() else { return };
        let serving = self.is_serving();
        let permitless = self.is_permitless();
        if permits.hold.is_some_and(|(_, until)| until <= now || !serving || permitless) {
            permits.drop_hold(effects);
        }
        let front = self.waiting.front().filter(|_| self.may_start() && !permitless);
        if let Some(next) = permits.next {
            let needed = front.is_some_and(|entry| entry.state.seq == next.grant.order);
            let overdue = next.grant.deadline <= now;
            if !needed || overdue {
                permits.drop_next(needed, false, effects);
            }
        }
        let ripe = |entry: &&PendingState| {
            entry.has_passed()
                && entry.is_ready()
                && self.interval_end(entry).is_none_or(|until| until <= now)
        };
        let wanted = front.filter(ripe).map(|entry| entry.state.seq).filter(|_| self.may_ask());
        if permits.asked.is_some() && permits.asked != wanted {
            permits.asked = None;
            effects.push(PermitEffect::Withdraw.into());
        }
        if let Some(order) = wanted.filter(|_| permits.asked.is_none() && permits.next.is_none()) {
            permits.drop_hold(effects);
            permits.asked = Some(order);
            effects.push(PermitEffect::Ask { order, swap: !self.live.is_empty() }.into());
        }
        self.permits = Some(permits);
    }

    /// A permit was granted, or one that had been refused can be claimed again.
    pub(super) fn grant(&mut self, now: Instant, grant: Grant, effects: &mut Vec<Effect>) {
        let retries = grant.retry && self.may_be_retried(grant.order);
        let unused = PermitEffect::Return { permit: grant.permit, failed: false };
        let Some(permits) = &mut self.permits else { return effects.push(unused.into()) };
        if permits.knows(grant.permit) {
            return;
        }
        if permits.asked != Some(grant.order) && !retries {
            permits.next.take_if(|next| next.grant.permit == grant.permit);
            return effects.push(unused.into());
        }
        let former = permits.next.filter(|next| next.grant.permit == grant.permit);
        // The deadline counts from when the permit was seen first.
        let deadline = former.map_or(grant.deadline, |former| former.grant.deadline.min(grant.deadline));
        let grant = Grant { deadline, ..grant };
        permits.drop_next(false, former.is_some(), effects);
        permits.asked = None;
        permits.next = Some(Next { grant, step: Step::Granted });
        if retries {
            self.trigger(now);
        }
    }

    /// Whether the watch gave up on this state, which is still the newest.
    fn may_be_retried(&self, order: Seq) -> bool {
        let gave_up = self
            .newest
            .as_ref()
            .is_some_and(|newest| newest.state.seq == order && newest.disposition == Disposition::GivenUp);
        gave_up && self.may_start() && self.waiting.is_empty() && self.live.is_empty()
    }

    /// The slot is there: claims the permit in it. Returns whether a permit is needed.
    pub(super) fn claim(&mut self, effects: &mut Vec<Effect>) -> bool {
        if self.is_permitless() {
            return false;
        }
        let Some(permits) = &mut self.permits else { return false };
        if let (Some(next), Some(entry)) = (&mut permits.next, self.waiting.front()) {
            next.step = Step::Claiming;
            effects.push(PermitEffect::Claim { permit: next.grant.permit, attempt: entry.attempt }.into());
        }
        true
    }

    /// The store has confirmed the claim. One that is too old proves nothing.
    pub(super) fn claimed(
        &mut self,
        now: Instant,
        permit: PermitId,
        fresh_until: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(next) = self.permits.as_mut().and_then(|permits| permits.next.as_mut()) else { return };
        if next.grant.permit != permit {
            return;
        }
        match next.step {
            Step::Unanswered => next.step = Step::Granted,
            // It is returned instead.
            Step::Claiming if next.grant.deadline <= now => {}
            Step::Claiming if now < fresh_until => {
                let grant = next.grant;
                if let Some(permits) = &mut self.permits {
                    permits.next = None;
                }
                let Some(run) = self.start(now, effects) else { return };
                if let Some(permits) = &mut self.permits {
                    permits.acting = Some(Acting { grant, run, lost: false });
                }
            }
            Step::Claiming => {
                self.claim(effects);
            }
            Step::Granted | Step::Kept | Step::Refused => {}
        }
    }

    /// The store has refused the claim: the permit may be granted again, or is lost.
    pub(super) fn refused(&mut self, permit: PermitId, effects: &mut Vec<Effect>) {
        let swap = !self.live.is_empty();
        let Some(permits) = &mut self.permits else { return };
        let Some(next) = permits.next.as_mut().filter(|next| next.grant.permit == permit) else { return };
        match next.step {
            Step::Claiming => effects.push(Effect::Release),
            Step::Unanswered => {}
            Step::Granted | Step::Kept | Step::Refused => return,
        }
        next.step = Step::Refused;
        let order = next.grant.order;
        permits.asked = Some(order);
        effects.push(PermitEffect::Ask { order, swap }.into());
    }

    /// The permit is gone: what runs goes on, and nothing starts under it.
    pub(super) fn lose_permit(&mut self, permit: PermitId, effects: &mut Vec<Effect>) {
        let Some(permits) = &mut self.permits else { return };
        if permits.next.is_some_and(|next| next.grant.permit == permit) {
            permits.drop_next(false, true, effects);
        }
        if let Some(acting) = permits.acting.as_mut().filter(|acting| acting.grant.permit == permit) {
            acting.lost = true;
        }
        permits.hold.take_if(|(held, _)| *held == permit);
    }

    /// The claim is not answered in time: others may use the slot meanwhile.
    pub(super) fn offline(&mut self, effects: &mut Vec<Effect>) {
        let next = self.permits.as_mut().and_then(|permits| permits.next.as_mut());
        if let Some(next) = next.filter(|next| next.step == Step::Claiming) {
            next.step = Step::Unanswered;
            effects.push(Effect::Release);
        }
    }

    /// A run that had a permit has ended, and what it leads to is decided.
    pub(super) fn report(
        &mut self,
        now: Instant,
        live: &LiveRun,
        succeeded: bool,
        effects: &mut Vec<Effect>,
    ) {
        let may_start = self.may_start();
        let front = self.waiting.front().filter(|_| may_start);
        let repeats = front.is_some_and(|entry| Some(entry.state.seq) == live.seq);
        let alone = self.waiting.is_empty() && self.is_serving();
        let Some(permits) = &mut self.permits else { return };
        let Some(acting) = permits.acting.take_if(|acting| acting.run == live.run) else { return };
        let Acting { grant, lost, .. } = acting;
        let spare = !lost && permits.next.is_none() && permits.asked.is_none();
        let then = match live.seq {
            Some(order) if spare && !succeeded && repeats && now < grant.deadline => {
                permits.next = Some(Next { grant: Grant { order, ..grant }, step: Step::Kept });
                After::Retry
            }
            Some(_) if spare && succeeded && alone && !grant.hold.is_zero() => {
                permits.hold = Some((grant.permit, later(now, grant.hold)));
                After::Hold
            }
            Some(_) | None => After::Return,
        };
        effects.push(PermitEffect::Report { run: live.run.clone(), permit: grant.permit, then }.into());
    }
}
