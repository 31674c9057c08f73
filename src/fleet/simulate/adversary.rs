//! What goes wrong, and what operators do meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::oracle;
use super::process::TTL;
use super::queue::Event;
use super::world::World;
use crate::fleet::conduct;
use crate::fleet::member;
use crate::fleet::record::{ControlRecord, Order, OrderSet, RolloutState, VersionOrder};
use crate::fleet::terms::Share;
use crate::fleet::{GroupKey, Transaction, Value, Write};

impl World {
    /// One misfortune, and when the next one comes.
    pub(super) fn adversary(&mut self) {
        if self.calm() {
            return;
        }
        let wait = Duration::from_millis(self.rng.u64(..6_000));
        self.after(wait, Event::Adversary);
        // Conductors and hosts that act are the interesting ones.
        let busy: Vec<usize> =
            (0..self.processes.len()).filter(|n| self.processes[*n].mirrors || self.acts(*n)).collect();
        let any = self.rng.usize(..self.processes.len());
        let n = if busy.is_empty() || self.rng.bool() { any } else { busy[self.rng.usize(..busy.len())] };
        match self.rng.u32(..100) {
            0..=34 => self.end_tenure(n),
            35..=59 => {
                let frozen = Duration::from_millis(self.rng.u64(..60_000));
                self.freeze(n, frozen);
                if frozen > TTL && self.rng.bool() {
                    self.end_tenure(n);
                }
            }
            60..=74 => {
                let cut = Duration::from_millis(self.rng.u64(..60_000));
                self.processes[n].cut_until = self.now.plus(cut);
            }
            75..=84 => {
                // A daemon that gave up has something to remember.
                let n = (0..self.processes.len())
                    .find(|n| self.has_failed(*n))
                    .filter(|_| self.rng.bool())
                    .unwrap_or(n);
                self.kill(n);
            }
            85..=89 => {
                // The store, or the network before it, loses many at once.
                for _ in 0..=self.rng.usize(..8) {
                    let n = self.rng.usize(..self.processes.len());
                    self.end_tenure(n);
                }
            }
            90..=92 => {
                // A message from nowhere: a wakeup that is not due.
                self.member(n, vec![member::Input::Wakeup]);
                self.conductor(n, conduct::Input::Wakeup);
            }
            _ => self.order(),
        }
    }

    /// The worst moment: a claim was applied, and its host is frozen before the answer comes, at times for so long
    /// that its permit is reclaimed meanwhile.
    pub(super) fn strike_claim(&mut self, n: usize) {
        if !self.calm() && self.rng.u32(..100) < 4 {
            self.end_tenure(n);
            let frozen = Duration::from_millis(self.rng.u64(30_000..120_000));
            self.freeze(n, frozen);
        }
    }

    /// The other worst moment: a reclaim is under way slowly, and the silent host comes back before it arrives.
    pub(super) fn race(&mut self, transaction: &Transaction) {
        let reclaims = transaction.require.iter().any(|(key, _)| matches!(key, GroupKey::Host(_)));
        if self.calm() || !reclaims || self.rng.bool() {
            return;
        }
        self.slow = Duration::from_millis(self.rng.u64(500..10_000));
        for (key, _) in &transaction.require {
            if let GroupKey::Host(host) = key
                && let Some(n) = self.index.get(host).copied()
            {
                self.processes[n].cut_until = self.now;
                self.processes[n].frozen_until = self.now;
                self.thaw(n);
                self.after(Duration::from_millis(1), Event::Restart(n));
            }
        }
    }

    fn acts(&self, n: usize) -> bool {
        let process = &self.processes[n];
        process.run.is_some() || process.member.record().permit.is_some() || process.member.record().asks()
    }

    fn has_failed(&self, n: usize) -> bool {
        let process = &self.processes[n];
        process.up && process.member.record().failures > 0
    }

    /// The store ends a tenure; whoever has it hears of it late, or not at all.
    fn end_tenure(&mut self, n: usize) {
        let Some(tenure) = self.processes[n].tenure.filter(|tenure| self.store.is_open(*tenure)) else {
            return;
        };
        let changes = self.store.end(tenure);
        self.changed(&changes);
        if self.rng.u32(..10) > 0 {
            let start = self.processes[n].start;
            let heard = Duration::from_millis(self.rng.u64(..40_000));
            self.after(heard, Event::Member(n, start, member::Input::TenureLost));
        }
    }

    /// SIGKILL: the action goes on.
    fn kill(&mut self, n: usize) {
        let down = if self.rng.bool() { self.rng.u64(..2_000) } else { self.rng.u64(..150_000) };
        self.kill_for(n, Duration::from_millis(down));
    }

    /// SIGKILL, and a new start after a while.
    pub(super) fn kill_for(&mut self, n: usize, down: Duration) {
        if !self.processes[n].up {
            return;
        }
        self.processes[n].up = false;
        self.processes[n].mirrors = false;
        self.processes[n].frozen_until = self.now;
        self.processes[n].parked.clear();
        if let Some(tenure) = self.processes[n].tenure {
            self.after(TTL, Event::End(tenure));
        }
        self.after(down, Event::Restart(n));
    }

    fn control(&self) -> ControlRecord {
        match self.store.read(&GroupKey::Control).value {
            Some(Value::Control(control)) => (*control).clone(),
            Some(_) | None => ControlRecord::default(),
        }
    }

    fn write_control(&mut self, control: ControlRecord) {
        let write = Write::put(GroupKey::Control, Value::Control(Arc::new(control)));
        let (_, changes) = self.store.commit(&Transaction { require: Vec::new(), write: vec![write] });
        self.changed(&changes);
    }

    fn ordered(&self, number: u64) -> Order {
        Order { number, hosts: Vec::new(), by: "operator".to_owned(), at: self.wall(), reason: None }
    }

    fn order(&mut self) {
        if !self.setting.orders {
            return;
        }
        let mut control = self.control();
        let number = u64::try_from(self.store.revision).unwrap() + 1;
        let order = self.ordered(number);
        let version =
            VersionOrder { version: self.newest.version, by: order.by.clone(), at: order.at, reason: None };
        match self.rng.u32(..10) {
            0..3 => control.paused = Some(order),
            3..6 => {
                control.paused = None;
                control.resumed = Some(order);
            }
            6 => control.aborted = Some(version),
            7 => control.promoted = Some(version),
            8 => control.retry = Some(order),
            _ => {
                let set = OrderSet {
                    max_parallel: Share::Count(self.rng.u32(1..4)),
                    lasts: None,
                    number,
                    by: order.by,
                    at: order.at,
                    reason: None,
                };
                control.set = self.rng.bool().then_some(set);
            }
        }
        self.write_control(control);
    }

    /// Once the faults are over, an operator ends what waits for one.
    pub(super) fn operator(&mut self) {
        self.after(Duration::from_secs(30), Event::Operator);
        if !self.calm() || self.setting.faults_until.is_zero() {
            return;
        }
        let mut control = self.control();
        let state = oracle::rollout(&self.store).map(|rollout| (rollout.state, rollout.id));
        let number = u64::try_from(self.store.revision).unwrap() + 1;
        if control.paused.is_some() || control.set.is_some() {
            control.paused = None;
            control.set = None;
            return self.write_control(control);
        }
        let gave_up = self.processes.iter().any(|process| {
            let record = process.member.record();
            record.state == crate::fleet::record::HostState::Failed
        });
        match state {
            Some((RolloutState::Aborted, Some(id))) if id == self.newest => {
                // Nothing else helps but a newer version.
                self.setting.versions = self.setting.versions.max(self.version + 1);
                self.next_version();
            }
            Some((RolloutState::Stopped, _)) if gave_up && self.rng.bool() => {
                control.retry = Some(self.ordered(number));
                self.write_control(control);
            }
            Some((RolloutState::Stopped, _)) => {
                control.resumed = Some(self.ordered(number));
                self.write_control(control);
            }
            Some((RolloutState::Done | RolloutState::Rolling, _)) if gave_up => {
                control.retry = Some(self.ordered(number));
                self.write_control(control);
            }
            Some(_) | None => {}
        }
    }
}
