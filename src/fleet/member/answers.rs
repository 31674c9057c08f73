//! What the store answered, and what is decided by reading our keys.

use std::sync::Arc;

use super::input::{Effect, Own, Pending};
use super::machine::MemberMachine;
use crate::fleet::conduct::Moment;
use crate::fleet::record::{HostRecord, HostState};
use crate::fleet::{BootTime, FRESH, PermitId, Revision, TransactionOutcome, Value};

impl MemberMachine {
    pub(super) fn committed(
        &mut self,
        ticket: u64,
        outcome: TransactionOutcome,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some((_, pending)) = self.pending.take_if(|(number, _)| *number == ticket) else { return };
        match outcome {
            TransactionOutcome::Applied(at) => self.applied(pending, at, now, effects),
            TransactionOutcome::Refused | TransactionOutcome::Unanswered => {
                self.doubt = Some(pending);
                self.reading = true;
                effects.push(Effect::ReadOwn);
            }
        }
    }

    fn applied(&mut self, pending: Pending, at: Revision, now: Moment, effects: &mut Vec<Effect>) {
        match pending {
            Pending::Register => self.registered(at, effects),
            Pending::Twin => {}
            Pending::Leave => self.written = (at, None),
            Pending::Write(record) => self.written = (at, Some(Arc::from(record))),
            Pending::Claim { permit, record, sent } => self.claimed(permit, *record, sent, at, now, effects),
        }
    }

    /// The claim is confirmed. Whether it is still fresh is judged at the start.
    fn claimed(
        &mut self,
        permit: PermitId,
        record: HostRecord,
        sent: BootTime,
        at: Revision,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let record = Arc::new(record);
        self.written = (at, Some(Arc::clone(&record)));
        if self.offered != Some(permit) {
            // It was given back or lost meanwhile: nothing was started.
            return;
        }
        self.acting = Some(permit);
        self.record.permit = Some(permit);
        self.record.attempt = record.attempt;
        self.record.seen = record.seen;
        self.record.swap = false;
        self.asked = None;
        self.to(HostState::Running, None, now);
        self.record.since = record.since;
        effects.push(Effect::Claimed { permit, fresh_until: sent.plus(FRESH) });
    }

    /// Our keys were read, which decides a transaction whose outcome was unknown.
    pub(super) fn read(&mut self, own: &Own, now: Moment, effects: &mut Vec<Effect>) {
        if self.pending.is_some() {
            return;
        }
        // An answer older than what is known is not used: a permit that it does not show yet would be taken for lost.
        if own.record.at < self.written.0 || own.permit.at < self.permit_at {
            if self.reading {
                effects.push(Effect::ReadOwn);
            }
            return;
        }
        self.reading = false;
        let before = self.written.0;
        let stored = match &own.record.value {
            Some(Value::Host(record)) => Some(Arc::clone(record)),
            Some(_) | None => None,
        };
        if let Some(stored) = &stored {
            self.take_over(stored);
        }
        let raced = own.record.revision() != before;
        self.written = (own.record.revision(), stored.clone());
        if own.permit.at > self.permit_at {
            self.see_permit(&own.permit, now, effects);
        }
        self.check_tenure(&own.alive, raced, now, effects);
        match self.doubt.take() {
            Some(Pending::Claim { permit, record, sent }) => {
                let applied = own.record.at > before && stored.as_deref() == Some(&*record);
                if applied {
                    self.claimed(permit, *record, sent, own.record.at, now, effects);
                } else if self.offered == Some(permit) {
                    let claimable =
                        self.permit.as_ref().is_some_and(|held| held.control == Some(own.control));
                    if claimable {
                        self.claim = Some((permit, record.attempt));
                    } else {
                        self.refuse(permit, effects);
                    }
                }
            }
            Some(Pending::Register | Pending::Twin | Pending::Write(_) | Pending::Leave) | None => {}
        }
    }
}
