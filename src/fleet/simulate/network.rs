//! The network: requests and answers that are late or lost, watches that are late, doubled or dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::oracle;
use super::planted::Planted;
use super::queue::Event;
use super::store::Change;
use super::world::World;
use crate::fleet::conduct;
use crate::fleet::member::{self, Own};
use crate::fleet::record::Summary;
use crate::fleet::{
    BootTime, GroupKey, KeyState, Revision, TenureId, Transaction, TransactionOutcome, Value,
};

/// So long after the last fault nothing of it is left.
const SETTLED: Duration = Duration::from_mins(10);

/// What a process sends to the store.
pub(super) enum Request {
    MemberCommit(u64, Transaction),
    ConductorCommit(u64, Transaction),
    /// With the revisions of record and permit that are known.
    ReadOwn(Revision, Revision),
    ReadAll,
    ReadSummary,
    Open,
    Revoke(TenureId),
}

impl World {
    pub(super) fn delay(&mut self) -> Duration {
        if !self.calm() && self.rng.u32(..100) < 5 {
            return Duration::from_millis(self.rng.u64(..12_000));
        }
        Duration::from_millis(1 + self.rng.u64(..20))
    }

    /// Watches of one process are in order.
    pub(super) fn fifo(&mut self, n: usize, delay: Duration) -> BootTime {
        let at = self.now.plus(delay).max(self.processes[n].heard);
        self.processes[n].heard = at;
        at
    }

    /// Keys changed: whoever watches them hears of it, late, twice, or never.
    pub(super) fn changed(&mut self, changes: &[Change]) {
        self.oracle.note(&self.store, changes, self.now);
        for change in changes {
            let mut woken = 0;
            if let GroupKey::Permit(host) = &change.key
                && let Some(n) = self.index.get(host).copied()
            {
                let permit = change.entry.clone();
                woken += 1;
                self.send_watch(n, |start| Event::Member(n, start, member::Input::Permit(permit.clone())));
            }
            for n in 0..self.setting.conductors.min(self.processes.len()) {
                if self.processes[n].mirrors || change.key == GroupKey::Conductor {
                    woken += 1;
                    self.tell(n, &change.key, change.entry.clone());
                }
            }
            // A conductor that was deposed mirrors until it hears of that.
            let settled = self.now.0 > self.setting.faults_until + SETTLED;
            if matches!(change.key, GroupKey::Permit(_)) && settled && woken > 2 {
                self.oracle.fail(format!("I6: {woken} processes hear of {}", change.key));
            }
        }
    }

    pub(super) fn tell(&mut self, n: usize, key: &GroupKey, entry: KeyState) {
        let entry = Planted::seen(self.setting.planted, &self.setting.terms, entry);
        let told = self.send_watch(n, |start| {
            Event::Conductor(n, start, conduct::Input::Changed(key.clone(), entry.clone()))
        });
        if !told && matches!(key, GroupKey::Alive(_) | GroupKey::Host(_)) {
            self.oracle.mislead(self.now);
        }
    }

    /// Returns whether it will arrive.
    fn send_watch(&mut self, n: usize, event: impl Fn(u64) -> Event) -> bool {
        let times = if self.calm() {
            1
        } else {
            match self.rng.u32(..100) {
                0 | 1 => 0,
                2 => 2,
                _ => 1,
            }
        };
        for _ in 0..times {
            let delay = self.delay();
            let at = self.fifo(n, delay);
            let start = self.processes[n].start;
            self.at(at, event(start));
        }
        times > 0
    }

    pub(super) fn send(&mut self, n: usize, request: Request) {
        let delay = self.delay() + std::mem::take(&mut self.slow);
        let start = self.processes[n].start;
        self.after(delay, Event::Store(n, start, request));
    }

    /// A request reaches the store, or does not; its answer is late or lost.
    pub(super) fn serve(&mut self, n: usize, start: u64, request: Request) {
        let cut = self.processes[n].cut_until > self.now;
        let lost = cut || !self.calm() && self.rng.u32(..100) < 2;
        let delay = if lost { Duration::from_secs(5) } else { self.delay() };
        // What is cut off may still arrive now and then.
        let arrives = !cut || !self.calm() && self.rng.u32(..10) == 0;
        match request {
            Request::MemberCommit(ticket, transaction) => {
                let outcome = if arrives {
                    self.commit_member(n, &transaction)
                } else {
                    TransactionOutcome::Unanswered
                };
                let outcome = if lost { TransactionOutcome::Unanswered } else { outcome };
                self.after(delay, Event::Member(n, start, member::Input::Committed(ticket, outcome)));
            }
            Request::ConductorCommit(ticket, transaction) => {
                let outcome = if arrives {
                    self.commit_conductor(&transaction)
                } else {
                    TransactionOutcome::Unanswered
                };
                let outcome = if lost { TransactionOutcome::Unanswered } else { outcome };
                self.after(delay, Event::Conductor(n, start, conduct::Input::Committed(ticket, outcome)));
            }
            // Reads are repeated until they are answered.
            other if lost => self.after(delay, Event::Store(n, start, other)),
            Request::ReadOwn(record, permit) => {
                let own = self.own(n);
                let event = if self.shows_restore(n, &own, (record, permit)) {
                    Event::FoundRestored(n, start)
                } else {
                    Event::Member(n, start, member::Input::Own(own))
                };
                self.after(delay, event);
            }
            Request::ReadAll => {
                let planted = self.setting.planted;
                let seen = |(key, entry)| (key, Planted::seen(planted, &self.setting.terms, entry));
                let entries = self.store.read_all().into_iter().map(seen).collect();
                let input = conduct::Input::All { entries, at: self.store.now(), target: Some(self.newest) };
                self.after(delay, Event::Conductor(n, start, input));
            }
            Request::ReadSummary => {
                let summary: Option<Arc<Summary>> = match self.store.read(&GroupKey::Summary).value {
                    Some(Value::Summary(summary)) => Some(summary),
                    Some(_) | None => None,
                };
                self.after(delay, Event::Conductor(n, start, conduct::Input::Summary(summary)));
            }
            Request::Open => {
                let tenure = self.store.open();
                self.after(delay, Event::Member(n, start, member::Input::Tenure(tenure)));
            }
            Request::Revoke(tenure) => {
                let changes = self.store.end(tenure);
                self.changed(&changes);
                self.after(delay, Event::Member(n, start, member::Input::Revoked));
            }
        }
    }

    pub(super) fn own(&self, n: usize) -> Own {
        let host = &self.processes[n].host;
        let read = |key| self.store.read(&key);
        let inst = &self.processes[n].member.record().inst;
        Own {
            record: Planted::own(self.setting.planted, inst, read(GroupKey::Host(host.clone()))),
            alive: read(GroupKey::Alive(host.clone())),
            permit: read(GroupKey::Permit(host.clone())),
            control: self.store.keys.get(&GroupKey::Control).map_or(Revision::ABSENT, |stored| stored.at),
        }
    }

    fn commit_member(&mut self, n: usize, transaction: &Transaction) -> TransactionOutcome {
        let host = self.processes[n].host.clone();
        let back = oracle::record(&self.store, &host).and_then(|record| record.back);
        let claims = Planted::claims(transaction, &host);
        let transaction = Planted::member(self.setting.planted, transaction, claims.is_some());
        let (outcome, changes) = self.store.commit(&transaction);
        if let TransactionOutcome::Applied(_) = outcome {
            self.processes[n].writes += 1;
            let claimed = claims.is_some();
            let claims = claims.filter(|_| self.setting.planted != Some(Planted::NoClaim));
            self.oracle.wrote(&self.store, &host, back, claims);
            self.changed(&changes);
            if claimed {
                self.strike_claim(n);
            }
        }
        outcome
    }

    fn commit_conductor(&mut self, transaction: &Transaction) -> TransactionOutcome {
        let transaction = Planted::conductor(self.setting.planted, transaction, &self.store);
        let mut before = BTreeMap::new();
        for write in &transaction.write {
            if let GroupKey::Permit(host) = write.key()
                && let Some(Value::Permit(permit)) = self.store.read(write.key()).value
            {
                before.insert(host.clone(), permit.id);
            }
        }
        let (outcome, changes) = self.store.commit(&transaction);
        if let TransactionOutcome::Applied(_) = outcome {
            for change in &changes {
                if let GroupKey::Permit(host) = &change.key
                    && let Some(n) = self.index.get(host)
                {
                    self.processes[*n].writes += 1;
                }
            }
            self.oracle.note(&self.store, &changes, self.now);
            self.oracle.conducted(&self.store, &changes, &before, self.now);
            self.changed(&changes);
        }
        outcome
    }
}
