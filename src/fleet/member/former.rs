//! What the former start of the daemon reported about a state that failed: it counts until that state is applied.

use super::machine::{Former, MemberMachine};
use crate::fleet::StateId;
use crate::fleet::record::{HostRecord, HostState};

impl MemberMachine {
    /// The ledger records that the last retry with this state failed. To be called before any input.
    pub fn give_up(&mut self, state: StateId) {
        self.record.state = HostState::Failed;
        self.record.seen = Some(state);
        self.record.failures = 1;
    }

    /// Takes over what the stored record says about permits that were given back, and about failures unless we wrote it: a
    /// machine that takes the name of another one inherits them. A write of our former start may arrive after our start.
    pub(super) fn take_over(&mut self, stored: &HostRecord) {
        self.record.back = self.record.back.max(stored.back);
        if stored.inst == self.profile.inst {
            return;
        }
        self.record.rest = stored.rest.clone();
        let failed = stored.seen.filter(|seen| stored.failures > 0 && stored.applied != Some(*seen));
        let Some(seen) = failed.filter(|seen| !self.is_same(self.record.applied, *seen)) else { return };
        self.former = Some(Former { seen, failures: stored.failures, last: stored.last });
        if !self.spoken && self.record.state != HostState::Failed {
            // The record goes on until the watch says what it does with the newest state.
            self.record.seen = Some(seen);
            self.record.since = stored.since;
            self.record.state = match stored.state {
                HostState::Failed => HostState::Failed,
                HostState::Converged
                | HostState::Asking
                | HostState::Running
                | HostState::Retrying
                | HostState::Hold
                | HostState::Behind
                | HostState::Conflict
                | HostState::Over
                | HostState::Down => HostState::Behind,
            };
        }
        self.recall();
    }

    /// Records a state as seen. Attempts and failures of another one do not count for it.
    pub(super) fn see(&mut self, state: StateId) {
        if !self.is_same(self.record.seen, state) {
            self.record.attempt = 0;
            self.record.failures = 0;
        }
        self.record.seen = Some(state);
        self.recall();
    }

    /// Counts the failures of the former start if they are of the state that is seen. A store that lags may show an older
    /// one first.
    fn recall(&mut self) {
        let Some((former, seen)) = self.former.zip(self.record.seen) else { return };
        if self.is_same(Some(former.seen), seen) {
            self.record.failures = self.record.failures.max(former.failures);
            self.record.last = self.record.last.or(former.last);
        } else if seen.version.is_before(former.seen.version) {
            return;
        }
        self.former.take_if(|_| self.spoken);
    }

    fn is_same(&self, known: Option<StateId>, state: StateId) -> bool {
        known.is_some_and(|known| known.is_same(&state, self.profile.identity))
    }
}
