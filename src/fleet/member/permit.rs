//! The permit that the store shows: offered to the policy machine, given back, or lost.

use std::sync::Arc;

use super::input::Effect;
use super::machine::MemberMachine;
use crate::fleet::conduct::Moment;
use crate::fleet::record::HostState;
use crate::fleet::{KeyState, PermitId, StateId, Value};

impl MemberMachine {
    /// Returns a permit, which is never used again.
    pub(super) fn give_back(&mut self, permit: PermitId) {
        self.record.back = self.record.back.max(Some(permit));
        if self.record.permit.is_some_and(|held| held <= permit) {
            self.record.permit = None;
        }
        self.offered = self.offered.filter(|offered| *offered != permit);
        self.acting = self.acting.filter(|acting| *acting != permit);
        self.refused = self.refused.filter(|(refused, _)| *refused != permit);
        self.claim = self.claim.filter(|(claimed, _)| *claimed != permit);
        // A return is never late: others wait for it.
        self.write_at = None;
    }

    pub(super) fn see_permit(&mut self, entry: &KeyState, now: Moment, effects: &mut Vec<Effect>) {
        self.permit_at = entry.at;
        self.permit = match &entry.value {
            Some(Value::Permit(permit)) => Some(Arc::clone(permit)),
            Some(_) | None => None,
        };
        self.offer(now, effects);
    }

    /// Offers the stored permit to the policy machine, or returns one that was not asked for.
    pub(super) fn offer(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let permit = self.permit.clone().filter(|permit| Some(permit.id) > self.record.back);
        let id = permit.as_ref().map(|permit| permit.id);
        let swapped =
            self.record.swap && permit.as_ref().is_some_and(|permit| Some(permit.state) == self.asked);
        if let Some(lost) = self.offered.filter(|offered| Some(*offered) != id && !swapped) {
            self.offered = None;
            self.refused = None;
            self.claim = None;
            effects.push(Effect::PermitLost(lost));
            self.lose_permit(lost, now);
        }
        let Some(permit) = permit else { return };
        if self.offered == Some(permit.id) {
            let rewritten = self.refused.is_some_and(|(id, at)| id == permit.id && at < self.permit_at);
            if rewritten && permit.control.is_some() {
                self.refused = None;
                effects.push(Effect::Permit(permit));
            }
            return;
        }
        let same = |state: Option<StateId>| {
            state.is_some_and(|state| state.is_same(&permit.state, self.profile.identity))
        };
        // Before the watch has spoken it would return a permit for a state that it has not seen, and the retry be lost.
        let may_retry = self.spoken && permit.retry;
        let retries = may_retry && self.record.state == HostState::Failed && same(self.record.seen);
        if self.acting == Some(permit.id) {
            // A restored store shows it again: what runs is covered once more.
            self.offered = Some(permit.id);
            self.record.permit = Some(permit.id);
            if self.record.state == HostState::Over {
                self.to(HostState::Running, None, now);
            }
        } else if same(self.asked) || retries {
            self.offered = Some(permit.id);
            effects.push(Effect::Permit(permit));
        } else if self.spoken {
            self.give_back(permit.id);
        }
    }

    /// What runs under a permit that is gone goes on, and is shown as over.
    fn lose_permit(&mut self, lost: PermitId, now: Moment) {
        if self.record.permit != Some(lost) {
            return;
        }
        match self.record.state {
            HostState::Running => self.to(HostState::Over, None, now),
            HostState::Retrying => self.to(HostState::Behind, None, now),
            HostState::Hold => self.to(HostState::Converged, None, now),
            HostState::Converged
            | HostState::Asking
            | HostState::Behind
            | HostState::Failed
            | HostState::Conflict
            | HostState::Over
            | HostState::Down => {}
        }
        self.record.permit = None;
    }
}
