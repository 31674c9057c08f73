//! The desired content of our record.

use std::sync::Arc;
use std::time::Duration;

use super::input::{Effect, Then};
use super::machine::MemberMachine;
use crate::fleet::conduct::Moment;
use crate::fleet::record::{BehindWhy, HostState, Last, LastOutcome, Permit};
use crate::fleet::{PermitId, StateId};

/// Shortest time between two asks of a host.
const ASKS: Duration = Duration::from_secs(1);

impl MemberMachine {
    /// Whether the newest state that it has seen is applied.
    fn is_done(&self) -> bool {
        self.record.seen.is_some() && self.record.applied == self.record.seen
    }

    pub(super) fn to(&mut self, state: HostState, why: Option<BehindWhy>, now: Moment) {
        if (self.record.state, self.record.why) != (state, why) {
            self.record.state = state;
            self.record.why = why;
            self.record.since = now.wall;
        }
    }

    /// The watch does not ask. A run or a permit that is held still decides the state.
    pub(super) fn rest(&mut self, why: Option<BehindWhy>, now: Moment) {
        match self.record.state {
            HostState::Asking
            | HostState::Converged
            | HostState::Behind
            | HostState::Failed
            | HostState::Down => {
                if self.is_done() {
                    self.to(HostState::Converged, None, now);
                } else {
                    self.to(HostState::Behind, why, now);
                }
            }
            HostState::Running
            | HostState::Retrying
            | HostState::Hold
            | HostState::Over
            | HostState::Conflict => self.record.why = None,
        }
    }

    /// The watch gave up on the newest state, maybe before our start or without a permit.
    pub(super) fn gave_up(&mut self, state: StateId, now: Moment) {
        self.asked = None;
        self.record.swap = false;
        self.see(state);
        self.record.failures = self.record.failures.max(1);
        if self.record.state == HostState::Failed && !self.is_done() {
            return;
        }
        self.rest(None, now);
        if self.record.state == HostState::Behind {
            self.to(HostState::Failed, None, now);
        }
    }

    pub(super) fn ask(
        &mut self,
        state: StateId,
        swap: bool,
        within: Duration,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        self.spoken = true;
        self.asked = Some(state);
        if swap {
            self.record.swap = true;
            self.see(state);
        } else {
            self.see(state);
            self.record.swap = false;
            self.to(HostState::Asking, None, now);
        }
        let spread = within * u32::try_from(now.chance % 1024).unwrap_or(0) / 1024;
        let earliest = self.asked_at.map_or(now.boot, |at| now.boot.max(at.plus(ASKS)));
        self.write_at = Some(earliest.plus(spread));
        if !swap {
            self.give_back_other_than(state);
        }
        self.offer(now, effects);
    }

    /// Returns a permit for another state than the one that is asked for, because other hosts wait for it.
    fn give_back_other_than(&mut self, state: StateId) {
        let is_other = |permit: &&Arc<Permit>| {
            self.offered == Some(permit.id) && !permit.state.is_same(&state, self.profile.identity)
        };
        if let Some(other) = self.permit.as_ref().filter(is_other).map(|permit| permit.id) {
            self.give_back(other);
        }
    }

    pub(super) fn ended(&mut self, permit: PermitId, state: StateId, last: Last, then: Then, now: Moment) {
        self.record.last = Some(last);
        self.write_at = None;
        let succeeded = last.outcome == LastOutcome::Succeeded;
        if succeeded {
            self.record.applied = Some(state);
        }
        match then {
            Then::Return => {
                self.give_back(permit);
                if !succeeded && self.record.seen == Some(state) {
                    self.record.failures += 1;
                }
                self.rest_after(!succeeded, now);
            }
            Then::Retry => self.to(HostState::Retrying, None, now),
            Then::Hold => self.to(HostState::Hold, None, now),
        }
    }

    /// A run starts without a permit. Its state is `over` until it ends: the conductor counts it against the limit.
    pub(super) fn start_unpermitted(
        &mut self,
        state: Option<StateId>,
        attempt: u32,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        self.spoken = true;
        self.asked = None;
        self.record.swap = false;
        self.record.permit = None;
        if let Some(state) = state {
            self.see(state);
        }
        self.record.attempt = attempt;
        self.to(HostState::Over, None, now);
        self.write_at = None;
        self.offer(now, effects);
    }

    pub(super) fn unpermitted_ended(&mut self, state: Option<StateId>, last: Last, now: Moment) {
        self.record.last = Some(last);
        self.write_at = None;
        let succeeded = last.outcome == LastOutcome::Succeeded;
        if succeeded {
            self.record.applied = state.or(self.record.applied);
        } else if state.is_some() && self.record.seen == state {
            self.record.failures += 1;
        }
        self.rest_after(!succeeded, now);
    }

    /// Nothing runs any more.
    pub(super) fn rest_after(&mut self, failed: bool, now: Moment) {
        let state = if self.is_done() {
            HostState::Converged
        } else if self.asked.is_some() {
            HostState::Asking
        } else if failed {
            HostState::Failed
        } else {
            HostState::Behind
        };
        self.record.swap = false;
        self.to(state, None, now);
    }
}
