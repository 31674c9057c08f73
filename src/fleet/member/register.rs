//! How a member takes its host's name, and what it does while another daemon has it.

use std::sync::Arc;

use super::input::{Effect, Pending};
use super::machine::MemberMachine;
use super::registration::Registration;
use crate::fleet::conduct::Moment;
use crate::fleet::record::{Alive, Rest, Twin};
use crate::fleet::{GroupKey, KeyState, Revision, Transaction, Value, Write};

impl MemberMachine {
    pub(super) fn lose_tenure(&mut self, effects: &mut Vec<Effect>) {
        match self.registration {
            Registration::Opening | Registration::Gone => {}
            Registration::Trying { .. } | Registration::Revoking { .. } | Registration::Registered { .. } => {
                self.registration = Registration::Opening;
                effects.push(Effect::OpenTenure);
            }
        }
    }

    /// Takes the name together with the record, so that a new owner always changes the record's revision.
    pub(super) fn register(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Registration::Trying { tenure, tries, after } = self.registration else { return };
        if after.is_some_and(|after| after > now.boot) {
            return;
        }
        let host = self.profile.host.clone();
        if tries >= 2 && self.twin_at.is_none() {
            let twin = Twin {
                inst: self.profile.inst.clone(),
                machine: self.profile.machine.clone(),
                since: now.wall,
                rest: Rest::default(),
            };
            let key = GroupKey::Twin(host, self.profile.inst.nonce.clone());
            let write = Write::Put { key, value: Value::Twin(Arc::new(twin)), tenure: Some(tenure) };
            self.twin_at = Some(now.boot);
            let effect = self.commit(Pending::Twin, Transaction { require: Vec::new(), write: vec![write] });
            effects.push(effect);
            return;
        }
        let alive = Alive { inst: self.profile.inst.clone(), tenure, rest: Rest::default() };
        let mut write = vec![
            Write::Put {
                key: GroupKey::Alive(host.clone()),
                value: Value::Alive(Arc::new(alive)),
                tenure: Some(tenure),
            },
            self.put(&self.record),
        ];
        if self.twin_at.is_some() {
            write.push(Write::Delete { key: GroupKey::Twin(host.clone(), self.profile.inst.nonce.clone()) });
        }
        // A late write of our former start may have given a permit back: it must not be undone.
        let require =
            vec![(GroupKey::Alive(host.clone()), Revision::ABSENT), (GroupKey::Host(host), self.written.0)];
        self.registering = Some(Arc::new(self.record.clone()));
        let effect = self.commit(Pending::Register, Transaction { require, write });
        effects.push(effect);
    }

    pub(super) fn registered(&mut self, at: Revision, effects: &mut Vec<Effect>) {
        if let Registration::Trying { tenure, .. } = self.registration {
            self.registration = Registration::Registered { tenure, alive: at };
        }
        self.written = (at, self.registering.take());
        if self.twin_at.take().is_some() {
            effects.push(Effect::Conflict(false));
        }
    }

    /// Compares the name's owner with what we believe.
    /// `raced`: our record is not the one that we last knew of.
    pub(super) fn check_tenure(
        &mut self,
        entry: &KeyState,
        raced: bool,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let owner = match &entry.value {
            Some(Value::Alive(alive)) => Some(Arc::clone(alive)),
            Some(_) | None => None,
        };
        let mine = owner.as_ref().is_some_and(|alive| alive.inst == self.profile.inst);
        match self.registration {
            Registration::Registered { alive, .. } => {
                if !mine || entry.at != alive {
                    self.lose_tenure(effects);
                }
            }
            Registration::Trying { tenure, tries, .. } => {
                let Some(owner) = owner else {
                    if entry.value.is_some() {
                        self.registration.retry(Some(now.boot.plus(self.profile.ttl)));
                    } else if self.doubt == Some(Pending::Register) && !raced {
                        // The name is free, and still the registration was refused: our tenure has expired.
                        self.lose_tenure(effects);
                    }
                    return;
                };
                let former = Some(owner.tenure) == self.profile.former
                    && owner.inst.is_same_daemon(&self.profile.inst);
                if mine && owner.tenure == tenure {
                    self.registered(entry.at, effects);
                } else if mine || former {
                    self.registration = Registration::Revoking { tenure };
                    effects.push(Effect::Revoke(owner.tenure));
                } else {
                    if tries == 1 {
                        effects.push(Effect::Conflict(true));
                    }
                    self.registration.retry(Some(now.boot.plus(self.profile.ttl)));
                }
            }
            Registration::Opening | Registration::Revoking { .. } | Registration::Gone => {}
        }
    }
}
