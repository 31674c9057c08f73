//! What the contract demands of permits: no start without a fresh claim of its own order; every permit returned exactly
//! once; a ready entry has asked.

use std::time::{Duration, Instant};

use super::{Checked, Claim, Judge, Turn};
use crate::policy::{After, Control, Grant, Input, Permission, PermitEffect};
use crate::watch::{PermitId, RunId, RunMode, Seq, Verdict};

/// A permit that was granted, and neither returned nor lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::policy::tests) struct Held {
    pub(in crate::policy::tests) permit: PermitId,
    pub(in crate::policy::tests) order: u64,
    pub(in crate::policy::tests) deadline: Instant,
    pub(in crate::policy::tests) hold: Duration,
    /// Its claim was refused.
    pub(in crate::policy::tests) refused: bool,
    /// What runs under it.
    pub(in crate::policy::tests) run: Option<RunId>,
    /// It is gone, though its run is not.
    pub(in crate::policy::tests) lost: bool,
    /// Kept after success, until then.
    pub(in crate::policy::tests) until: Option<Instant>,
}

/// What is known of a watch's permits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(in crate::policy::tests) struct FleetSeen {
    pub(in crate::policy::tests) asked: Option<u64>,
    pub(in crate::policy::tests) held: Vec<Held>,
    /// A claim that was not answered.
    pub(in crate::policy::tests) claim: Option<PermitId>,
    /// The slot is held for a claim.
    pub(in crate::policy::tests) slot: bool,
    /// How many permits were granted.
    pub(in crate::policy::tests) issued: u64,
    /// The state that an operator triggered without a permit.
    pub(in crate::policy::tests) waived: Option<u64>,
    /// This input has confirmed the claim of this permit.
    pub(in crate::policy::tests) fresh: Option<PermitId>,
    /// This input granted a permit that nobody asked for.
    pub(in crate::policy::tests) unwanted: Option<PermitId>,
}

impl FleetSeen {
    /// One that begins with a run of a former daemon.
    pub(in crate::policy::tests) fn adopting(run: RunId, grant: Grant) -> Self {
        let mut seen = Self { issued: 1, ..Self::default() };
        seen.add(grant);
        seen.held[0].run = Some(run);
        seen
    }

    fn add(&mut self, grant: Grant) {
        let Grant { permit, order, deadline, hold, retry: _ } = grant;
        let order = order.0;
        let (refused, run, lost, until) = (false, None, false, None);
        self.held.push(Held { permit, order, deadline, hold, refused, run, lost, until });
    }

    fn find(&mut self, permit: PermitId) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.permit == permit)
    }

    fn remove(&mut self, permit: PermitId) {
        self.held.retain(|held| held.permit != permit);
        self.claim.take_if(|claim| *claim == permit);
    }

    /// The permit of the next start.
    pub(in crate::policy::tests) fn next(&self) -> Option<&Held> {
        self.held.iter().find(|held| held.run.is_none() && held.until.is_none())
    }
}

impl Judge {
    /// The next permit for an order.
    pub(in crate::policy::tests) fn grant_of(&self, order: u64, lasts: Duration, hold: Duration) -> Grant {
        let number = self.fleet.as_ref().map_or(0, |fleet| fleet.issued) + 1;
        let deadline = self.now + lasts;
        Grant { permit: PermitId { epoch: 1, number }, order: Seq(order), deadline, hold, retry: false }
    }

    /// What an input means for permits.
    pub(super) fn note_permits(&mut self, input: &Input) {
        let suspended = self.held() || self.retiring;
        let accepted = self.expected_refusal(input).is_none();
        let idle = self.unfated.is_empty() && self.triggered.is_empty() && self.live.is_empty();
        let Some(fleet) = &mut self.fleet else { return };
        (fleet.fresh, fleet.unwanted) = (None, None);
        match input {
            Input::Permit(grant) => {
                let known = fleet.find(grant.permit).is_some();
                let refused = fleet.find(grant.permit).is_some_and(|held| {
                    let refused = std::mem::take(&mut held.refused);
                    if refused {
                        held.hold = grant.hold;
                        held.deadline = held.deadline.min(grant.deadline);
                    }
                    refused
                });
                if known && !refused {
                    return;
                }
                fleet.issued = fleet.issued.max(grant.permit.number);
                if !known {
                    fleet.add(*grant);
                }
                let newest = self.newest.as_mut().filter(|newest| newest.seq == grant.order.0);
                if fleet.asked == Some(grant.order.0) {
                    fleet.asked = None;
                } else if let (true, true, false, Some(newest)) =
                    (grant.retry && self.gave_up, idle, suspended, newest)
                {
                    self.triggered.insert(newest.seq);
                    newest.claim = Claim::Applying;
                } else {
                    fleet.unwanted = Some(grant.permit);
                }
            }
            Input::Claimed { permit, fresh_until } => {
                let answered = fleet.claim.take_if(|claim| claim == permit).is_some();
                let fresh = answered && fleet.slot && self.now < *fresh_until;
                fleet.fresh = Some(*permit).filter(|_| fresh);
            }
            Input::Refused(permit) => {
                if fleet.claim.take_if(|claim| claim == permit).is_some()
                    && let Some(held) = fleet.find(*permit)
                {
                    held.refused = true;
                }
            }
            Input::PermitLost(permit) => {
                if let Some(held) = fleet.find(*permit).filter(|held| held.run.is_some()) {
                    held.lost = true;
                } else {
                    fleet.remove(*permit);
                }
            }
            Input::Control(Control::Trigger(Permission::Waived)) if accepted => {
                fleet.waived = self.newest.map(|newest| newest.seq);
            }
            // A triggered run that has not started yet starts with this state.
            Input::State { .. } => {
                let newest = self.newest.map(|newest| newest.seq);
                fleet.waived = fleet.waived.and(newest);
            }
            Input::Control(Control::Pause { .. }) | Input::Retire { .. } | Input::Stop { .. } => {
                fleet.waived = None;
            }
            // The release of a state that `validate` refused is another decision.
            Input::Validated { seq, valid: false } if fleet.waived == Some(seq.0) => fleet.waived = None,
            Input::Slot
            | Input::Offline
            | Input::Validated { .. }
            | Input::Ended(_)
            | Input::Prevented(_)
            | Input::Wakeup
            | Input::Control(Control::Trigger(_) | Control::Resume | Control::Release) => {}
        }
    }

    /// A state will not start, and the permission to start it without a permit ends.
    pub(super) fn ends_waiver(&mut self, seq: u64) {
        if let Some(fleet) = &mut self.fleet {
            fleet.waived.take_if(|waived| *waived == seq);
        }
    }

    /// An effect that only a fleet has.
    pub(super) fn hear_permits(&mut self, effect: &PermitEffect, turn: &mut Turn<'_>) -> Checked {
        let (held, retiring, room) = (self.held(), self.retiring, self.room());
        let restart = self.policy.run_mode == RunMode::Restart;
        let running = !self.live.is_empty();
        let newest = self.newest.map(|newest| newest.seq);
        let Some(fleet) = &mut self.fleet else { return Err(format!("{effect:?} without a fleet")) };
        match effect {
            PermitEffect::Ask { order, swap } => {
                demand!(fleet.asked.is_none(), "asked for a second permit");
                demand!(!held && !retiring && (room || restart), "asked for a permit it cannot use");
                demand!(Some(order.0) == newest, "asked for an old state");
                demand!(*swap == running, "asked in exchange for {swap}");
                let next = fleet.next();
                demand!(next.is_none_or(|next| next.refused && next.order == order.0), "asked for another");
                fleet.asked = Some(order.0);
            }
            PermitEffect::Withdraw => {
                demand!(fleet.asked.take().is_some(), "withdrew what it never asked for");
            }
            PermitEffect::Claim { permit, .. } => {
                demand!(turn.slot && self.asked || fleet.slot, "claimed without a slot");
                demand!(fleet.claim.is_none(), "claimed while a claim is under way");
                let held = fleet.next().filter(|held| held.permit == *permit && !held.refused);
                demand!(held.is_some(), "claimed what it does not have");
                fleet.claim = Some(*permit);
                if turn.slot {
                    (turn.slot, self.asked, fleet.slot) = (false, false, true);
                }
            }
            PermitEffect::Report { run, permit, then } => {
                let ended = turn.ended.as_ref().filter(|live| live.run == *run);
                let Some(ended) = ended else { return Err("reported what has not ended".into()) };
                let order = ended.seq;
                let now = self.now;
                let Some(held) = fleet.find(*permit).filter(|held| held.run.as_ref() == Some(run)) else {
                    return Err("reported a run of another permit".into());
                };
                let succeeded = matches!(turn.input, Input::Ended(end) if end.verdict == Verdict::Succeeded);
                match then {
                    After::Return => fleet.remove(*permit),
                    After::Retry => {
                        demand!(!succeeded && !held.lost && now < held.deadline, "kept for no retry");
                        demand!(order.is_some() && order == newest, "kept for another state");
                        held.order = order.unwrap_or_default();
                        held.run = None;
                    }
                    After::Hold => {
                        demand!(succeeded && !held.lost && !held.hold.is_zero(), "held after no success");
                        held.run = None;
                        held.until = Some(now + held.hold);
                    }
                }
            }
            PermitEffect::Return { permit, failed } => {
                let now = self.now;
                let Some(held) = fleet.find(*permit) else {
                    return Err(format!("returned {permit}, which it does not have"));
                };
                demand!(held.run.is_none() && !held.lost, "returned under a run");
                demand!(!*failed || held.deadline <= now, "failed before the deadline");
                fleet.remove(*permit);
                fleet.unwanted.take_if(|unwanted| unwanted == permit);
            }
        }
        Ok(())
    }

    /// A run starts: under a fresh claim of a permit for its own state, unless an operator waived that.
    pub(super) fn started_with_permit(&mut self, seq: u64, run: &RunId, slot: bool) -> Checked {
        let now = self.now;
        let Some(fleet) = &mut self.fleet else { return Ok(()) };
        if fleet.waived.take_if(|waived| *waived == seq).is_some() {
            demand!(slot, "started without a slot");
            demand!(fleet.asked.is_none() && fleet.next().is_none(), "kept a permit that it does not need");
            return Ok(());
        }
        demand!(std::mem::take(&mut fleet.slot), "started without a slot");
        let Some(permit) = fleet.fresh.take() else { return Err("started without a fresh claim".into()) };
        let Some(held) = fleet.find(permit) else { return Err("started under a permit that is gone".into()) };
        demand!(held.order == seq, "started {seq} under a permit for {}", held.order);
        demand!(held.run.is_none() && !held.refused, "a permit used twice");
        demand!(now < held.deadline, "started after the deadline");
        held.run = Some(run.clone());
        Ok(())
    }

    /// Whether a run may be ended for the newest state, as far as the fleet is asked.
    pub(super) fn may_exchange(&self) -> bool {
        let newest = self.newest.map(|newest| newest.seq);
        let exchanged = |fleet: &FleetSeen| {
            let granted = fleet.next().is_some_and(|next| !next.refused && Some(next.order) == newest);
            granted || fleet.waived.is_some() && fleet.waived == newest
        };
        self.fleet.as_ref().is_none_or(exchanged)
    }

    /// Whether it waits for the fleet with this state, or has its permit.
    pub(super) fn seeks(&self, seq: Option<u64>) -> bool {
        self.fleet.as_ref().is_some_and(|fleet| {
            let fits = |order: u64| seq.is_none_or(|seq| seq == order);
            fleet.asked.is_some_and(fits) || fleet.next().is_some_and(|next| fits(next.order))
        })
    }

    /// What holds of permits after every input.
    pub(super) fn permits_in_order(&self) -> Checked {
        let Some(fleet) = &self.fleet else { return Ok(()) };
        demand!(fleet.unwanted.is_none(), "kept a permit that it did not ask for");
        demand!(!fleet.slot || fleet.claim.is_some(), "holds a slot and claims nothing");
        let suspended = self.held() || self.retiring;
        demand!(!suspended || fleet.asked.is_none() && fleet.next().is_none(), "asks while it may not start");
        for held in fleet.held.iter().filter(|held| held.run.is_none()) {
            let over = held.until.unwrap_or(held.deadline) <= self.now;
            demand!(!over, "keeps a permit too long");
        }
        demand!(!self.drained || fleet.held.is_empty(), "a permit was not returned");
        let ready = self.unfated.iter().next().filter(|(seq, eldest)| {
            let quiet = self.is_valid(**seq, eldest) && self.splayed(eldest) <= self.now;
            let spaced = self.last_start.is_none_or(|(_, at)| at + self.policy.min_interval <= self.now);
            quiet && spaced
        });
        let may_ask = !suspended
            && self.prevented.is_none()
            && (self.room() || self.policy.run_mode == RunMode::Restart);
        let waived = fleet.waived.is_some() && fleet.waived == self.newest.map(|newest| newest.seq);
        if waived && !suspended {
            demand!(fleet.asked.is_none() && fleet.next().is_none(), "asks for a permit that was waived");
            let held = self.newest.is_some_and(|newest| newest.held);
            let known = !held
                && self.newest.is_none_or(|newest| {
                    self.unfated.get(&newest.seq).is_none_or(|fresh| self.is_valid(newest.seq, fresh))
                });
            let waits = self.prevented.is_some();
            demand!(
                !known || !self.room() || self.asked || waits,
                "needs no permit, and does not ask for a slot"
            );
        } else if let Some((seq, _)) = ready.filter(|_| may_ask) {
            demand!(self.seeks(Some(*seq)), "ready, and it does not ask for a permit");
            let waits = fleet.next().is_none_or(|next| next.refused || fleet.claim == Some(next.permit));
            demand!(waits || !self.room() || self.asked, "has a permit, and does not ask for a slot");
        }
        Ok(())
    }

    /// The answer that lets the fleet go on, if it waits for one.
    pub(super) fn good_answer(&self) -> Option<Input> {
        let fleet = self.fleet.as_ref()?;
        if let Some(permit) = fleet.claim {
            return Some(Input::Claimed { permit, fresh_until: self.now + Duration::from_secs(10) });
        }
        let order = fleet.asked?;
        let grant = self.grant_of(order, Duration::from_hours(1000), Duration::ZERO);
        let again = fleet.next().filter(|next| next.refused);
        Some(Input::Permit(again.map_or(grant, |next| Grant { permit: next.permit, ..grant })))
    }
}
