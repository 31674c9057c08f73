//! Taking over: reads all keys, writes `rollout` with a new epoch, and reads all keys once more.

use std::sync::Arc;

use super::group::{Group, Member};
use super::input::{Effect, Moment};
use super::machine::{Conductor, Phase};
use super::seat::Seat;
use crate::fleet::view::Orders;
use crate::fleet::{
    BootTime, GroupKey, HostName, KeyState, MEMBERS_MAX, Revision, StateId, Transaction, TransactionOutcome,
    Value, Write,
};

impl Conductor {
    /// Every key was read.
    pub(super) fn read_all(
        &mut self,
        entries: &[(GroupKey, KeyState)],
        at: Revision,
        target: Option<StateId>,
        now: Moment,
    ) -> Vec<Effect> {
        match self.phase {
            Phase::Bystander => return self.depose(entries),
            Phase::Reading | Phase::Checking => {}
            Phase::Campaigning | Phase::TakingOver(_) | Phase::Conducting(_) | Phase::Resigning => {
                return Vec::new();
            }
        }
        let find = |wanted: &GroupKey| entries.iter().find(|(key, _)| key == wanted).map(|(_, entry)| entry);
        // The seat's own watch may be late.
        if let Some(effects) = find(&GroupKey::Conductor).and_then(|seat| self.seat_changed(seat)) {
            return effects;
        }
        let hosts = entries.iter().filter(|(key, _)| matches!(key, GroupKey::Host(_))).count();
        if hosts > MEMBERS_MAX || entries.iter().any(|(_, entry)| entry.value == Some(Value::Later)) {
            self.barred = true;
            return self.resign();
        }
        let stored = find(&GroupKey::Rollout);
        let rollout = match stored.and_then(|entry| entry.value.as_ref()) {
            Some(Value::Rollout(rollout)) => Some(rollout),
            Some(_) | None => None,
        };
        let written = entries.iter().map(|(_, entry)| epoch_of(entry)).max().unwrap_or(0);
        if self.phase == Phase::Checking {
            if stored.map(KeyState::revision) != Some(self.fence) || written > self.rollout.epoch {
                return self.take_over_anew();
            }
            self.read_target = target;
            self.target = target;
            self.load(entries, at, now);
            self.await_reports(now.boot);
            self.phase = Phase::Conducting(None);
            return self.conduct(now);
        }
        self.succeeds = stored.is_some();
        let mut next = rollout.map(|rollout| (**rollout).clone()).unwrap_or_default();
        if next.epoch != self.rollout.epoch {
            self.soaking_since = None;
        }
        next.epoch = written.max(self.rollout.epoch).saturating_add(1);
        let transaction = Transaction {
            require: vec![(GroupKey::Rollout, stored.map_or(Revision::ABSENT, KeyState::revision))],
            write: vec![Write::put(GroupKey::Rollout, Value::Rollout(Arc::new(next.clone())))],
        };
        self.phase = Phase::TakingOver(Box::new(next));
        vec![self.commit(transaction)]
    }

    /// Begins with exactly what was read, except for keys that a watch has shown in a later revision.
    fn load(&mut self, entries: &[(GroupKey, KeyState)], at: Revision, now: Moment) {
        let read: std::collections::HashSet<&GroupKey> = entries.iter().map(|(key, _)| key).collect();
        let absent = KeyState { at, value: None };
        let known: Vec<HostName> = self.group.members.keys().cloned().collect();
        for host in known {
            for key in [GroupKey::Host(host.clone()), GroupKey::Alive(host.clone()), GroupKey::Permit(host)] {
                if !read.contains(&key) {
                    self.take_in(&key, &absent, now.boot);
                }
            }
        }
        if !read.contains(&GroupKey::Control) {
            self.take_in(&GroupKey::Control, &absent, now.boot);
        }
        // Tenures first: a record read before its host's tenure would show a silent host.
        let is_alive = |(key, _): &&(GroupKey, KeyState)| matches!(key, GroupKey::Alive(_));
        for (key, entry) in entries.iter().filter(is_alive) {
            self.take_in(key, entry, now.boot);
        }
        for (key, entry) in entries {
            self.take_in(key, entry, now.boot);
            if let (GroupKey::Summary, Some(Value::Summary(summary))) = (key, &entry.value) {
                self.summary = Some(Arc::clone(summary));
            }
        }
        self.issued = 0;
        self.made_control = false;
        self.summary_at = None;
        self.group.watches_done = false;
        self.restamp = true;
        self.group.votes_changed = true;
        self.restore_lost(now.boot);
    }

    /// If the store was restored just now, hosts may run what the restored history does not show: those whose daemons
    /// live report it within one `ttl` of our connection. If nobody conducted when we first saw the seat, and a restore
    /// could go unnoticed here, every run must have ended first.
    fn await_reports(&mut self, now: BootTime) {
        let is_other =
            |host: &HostName, member: &Member| *host != self.part.host && member.keys.record.is_some();
        let has_others = self.group.members.iter().any(|(host, member)| is_other(host, member));
        let unheld = std::mem::take(&mut self.seat.unheld);
        if !self.succeeds || !has_others {
            self.reports_until = None;
        } else if unheld && self.remembered == Some(false) {
            self.restored.get_or_insert(now);
        }
    }

    pub(super) fn committed(&mut self, outcome: TransactionOutcome, now: Moment) -> Vec<Effect> {
        match std::mem::replace(&mut self.phase, Phase::Bystander) {
            Phase::Campaigning => match outcome {
                TransactionOutcome::Applied(at) => self.won(at, now),
                // Whether it was applied is seen in the key.
                TransactionOutcome::Refused | TransactionOutcome::Unanswered => self.turn(now),
            },
            Phase::TakingOver(rollout) => match outcome {
                TransactionOutcome::Applied(at) => {
                    self.fence = at;
                    self.draft = (*rollout).clone();
                    self.rollout = *rollout;
                    self.phase = Phase::Checking;
                    vec![Effect::ReadAll]
                }
                TransactionOutcome::Refused | TransactionOutcome::Unanswered => self.take_over_anew(),
            },
            Phase::Conducting(Some(plan)) => match outcome {
                TransactionOutcome::Applied(at) => {
                    self.phase = Phase::Conducting(None);
                    self.applied(*plan, at, now);
                    self.conduct(now)
                }
                // It is only of use.
                TransactionOutcome::Refused | TransactionOutcome::Unanswered if plan.makes_control() => {
                    self.phase = Phase::Conducting(None);
                    self.conduct(now)
                }
                TransactionOutcome::Refused | TransactionOutcome::Unanswered => self.take_over_anew(),
            },
            Phase::Resigning => {
                self.seat.left(outcome);
                self.turn(now)
            }
            // A bystander has deposed a conductor.
            Phase::Bystander => self.turn(now),
            other @ (Phase::Reading | Phase::Checking | Phase::Conducting(None)) => {
                self.phase = other;
                Vec::new()
            }
        }
    }

    /// The store was restored: what is known of the group may be from the lost history.
    pub(super) fn forget_all(&mut self, now: Moment) -> Vec<Effect> {
        let mut effects = self.stand_down();
        self.group = Group::new(self.part.group.clone(), self.part.ttl);
        self.orders = Orders::default();
        self.control_at = Revision::ABSENT;
        self.fence = Revision::ABSENT;
        self.summary = None;
        self.read_target = None;
        self.seat = Seat { waiting: self.seat.waiting, ..Seat::default() };
        // Ignores the answer to a transaction that is under way.
        self.ticket += 1;
        self.restored = Some(now.boot);
        // It was our own record that showed it.
        self.remembered = Some(true);
        effects.push(Effect::ShowSeat);
        effects
    }

    pub(super) fn take_over_anew(&mut self) -> Vec<Effect> {
        self.phase = Phase::Reading;
        vec![Effect::ReadAll]
    }
}

/// The greatest epoch that a key mentions: a new one is greater than any, also where `rollout` was lost.
fn epoch_of(entry: &KeyState) -> u64 {
    match &entry.value {
        Some(Value::Rollout(rollout)) => rollout.epoch,
        Some(Value::Host(record)) => record.epoch(),
        Some(Value::Permit(permit)) => permit.id.epoch,
        Some(
            Value::Alive(_)
            | Value::Twin(_)
            | Value::Summary(_)
            | Value::Conductor(_)
            | Value::Control(_)
            | Value::Later
            | Value::Unreadable,
        )
        | None => 0,
    }
}
