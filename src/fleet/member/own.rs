//! The desired content of the own record.

use std::sync::Arc;
use std::time::Duration;

use super::input::{Effect, Then};
use super::machine::Member;
use crate::fleet::conduct::Moment;
use crate::fleet::record::{BehindWhy, HostState, Last, LastOutcome, Permit};
use crate::fleet::{PermitId, StateId};

/// A host asks at most once in so long.
const ASKS: Duration = Duration::from_secs(1);

impl Member {
    /// Deals with another state: what was tried before was about the former one.
    pub(super) fn see(&mut self, state: StateId) {
        if self.record.seen != Some(state) {
            self.record.seen = Some(state);
            self.record.attempt = 0;
            self.record.failures = 0;
        }
    }

    pub(super) fn to(&mut self, state: HostState, why: Option<BehindWhy>, now: Moment) {
        if (self.record.state, self.record.why) != (state, why) {
            self.record.state = state;
            self.record.why = why;
            self.record.since = now.wall;
        }
    }

    /// Nothing is asked for: what runs or is held is still shown.
    pub(super) fn rest(&mut self, why: Option<BehindWhy>, now: Moment) {
        match self.record.state {
            HostState::Asking
            | HostState::Converged
            | HostState::Behind
            | HostState::Failed
            | HostState::Down => {
                let done = self.record.seen.is_some() && self.record.applied == self.record.seen;
                if done {
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

    /// A permit for another state than the one that is asked for is of no use, and would be waited for by all.
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

    /// Shown as over until it ends: the conductor counts it against the limit.
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
        let done = self.record.seen.is_some() && self.record.applied == self.record.seen;
        let state = if self.asked.is_some() && !done {
            HostState::Asking
        } else if done {
            HostState::Converged
        } else if failed {
            HostState::Failed
        } else {
            HostState::Behind
        };
        self.record.swap = false;
        self.to(state, None, now);
    }
}
