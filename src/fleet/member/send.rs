//! The transactions of a member: its record, and the claim before each start.

use std::sync::Arc;

use super::input::{Effect, Pending};
use super::machine::MemberMachine;
use super::registration::Registration;
use crate::fleet::conduct::Moment;
use crate::fleet::record::{HostRecord, HostState};
use crate::fleet::{GroupKey, PermitId, Revision, Transaction, Value, Write};

impl MemberMachine {
    pub(super) fn is_dirty(&self) -> bool {
        self.written.1.as_deref() != Some(&self.record)
    }

    pub(super) fn commit(&mut self, pending: Pending, transaction: Transaction) -> Effect {
        self.ticket += 1;
        self.pending = Some((self.ticket, pending));
        Effect::Commit(self.ticket, transaction)
    }

    pub(super) fn put(&self, record: &HostRecord) -> Write {
        Write::put(GroupKey::Host(self.profile.host.clone()), Value::Host(Arc::new(record.clone())))
    }

    /// Sends the next transaction, if one is due.
    pub(super) fn turn(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.pending.is_some() || self.reading {
            return;
        }
        let Registration::Registered { alive, tenure } = self.registration else {
            return self.register(now, effects);
        };
        let host = GroupKey::Host(self.profile.host.clone());
        if let Some((permit, attempt)) = self.claim {
            return self.send_claim(permit, attempt, alive, now, effects);
        }
        if let Some(leaves) = self.leaving.filter(|_| !self.is_dirty() || self.leaving == Some(true)) {
            if leaves && self.written.1.is_some() {
                let transaction = Transaction {
                    require: vec![(host.clone(), self.written.0)],
                    write: vec![Write::Delete { key: host }],
                };
                let effect = self.commit(Pending::Leave, transaction);
                effects.push(effect);
            } else {
                self.registration = Registration::Gone;
                effects.push(Effect::Revoke(tenure));
            }
            return;
        }
        if self.is_dirty() && self.write_at.is_none_or(|at| at <= now.boot) {
            if self.record.asks() {
                self.asked_at = Some(now.boot);
            }
            self.write_at = None;
            let record = self.record.clone();
            let transaction =
                Transaction { require: vec![(host, self.written.0)], write: vec![self.put(&record)] };
            let effect = self.commit(Pending::Write(Box::new(record)), transaction);
            effects.push(effect);
        }
    }

    /// Sends the claim. The store refuses it unless permit, tenure, record and orders are as they were seen.
    fn send_claim(
        &mut self,
        id: PermitId,
        attempt: u32,
        alive: Revision,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        self.claim = None;
        let permit = self.permit.clone().filter(|permit| permit.id == id && Some(id) > self.record.back);
        let Some((permit, control)) =
            permit.and_then(|permit| permit.control.map(|control| (permit, control)))
        else {
            self.refuse(id, effects);
            return;
        };
        let mut record = self.record.clone();
        record.permit = Some(id);
        record.attempt = attempt;
        record.why = None;
        record.seen = Some(permit.state);
        record.swap = false;
        if record.state != HostState::Running {
            record.state = HostState::Running;
            record.since = now.wall;
        }
        let host = &self.profile.host;
        let transaction = Transaction {
            require: vec![
                (GroupKey::Permit(host.clone()), self.permit_at),
                (GroupKey::Alive(host.clone()), alive),
                (GroupKey::Host(host.clone()), self.written.0),
                (GroupKey::Control, control),
            ],
            write: vec![self.put(&record)],
        };
        let pending = Pending::Claim { permit: id, record: Box::new(record), sent: now.boot };
        let effect = self.commit(pending, transaction);
        effects.push(effect);
    }

    /// The claim failed. The permit counts as unclaimed again, so that a pause or an abort takes it back, unless an
    /// earlier attempt was made under it.
    pub(super) fn refuse(&mut self, permit: PermitId, effects: &mut Vec<Effect>) {
        self.refused = Some((permit, self.permit_at));
        if self.record.state != HostState::Retrying {
            self.record.permit = self.record.permit.filter(|claimed| *claimed != permit);
        }
        effects.push(Effect::Refused(permit));
    }
}
