//! Hosts, conductors, the network between them and the store, and the adversary: one queue of events, one seed.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;

use super::oracle::{self, Oracle};
use super::process::Process;
use super::queue::{Event, Queue, reaches};
use super::setting::Setting;
use super::store::Store;
use crate::fleet::conduct::Moment;
use crate::fleet::{BootTime, HostName, StateId, Value};
use crate::watch::Version;

pub struct World {
    pub setting: Setting,
    pub rng: Rng,
    pub now: BootTime,
    pub(super) queue: Queue,
    pub(super) backup: Option<Store>,
    pub(super) processes: Vec<Process>,
    pub(super) index: BTreeMap<HostName, usize>,
    pub store: Store,
    pub oracle: Oracle,
    pub newest: StateId,
    pub version: u32,
    pub(super) runs: u64,
    pub steps: u64,
    /// The next request is under way for so much longer.
    pub(super) slow: Duration,
}

pub fn state(version: u32) -> StateId {
    StateId { version: Version::Revision(i64::from(version)), digest: u64::from(version) * 7 + 1 }
}

impl World {
    pub fn new(setting: Setting, seed: u64) -> Self {
        let mut world = Self {
            rng: Rng::with_seed(seed),
            now: BootTime::default(),
            queue: Queue::default(),
            backup: None,
            processes: Vec::new(),
            index: BTreeMap::new(),
            store: Store::default(),
            oracle: Oracle::default(),
            newest: state(1),
            version: 1,
            runs: 0,
            steps: 0,
            slow: Duration::ZERO,
            setting,
        };
        for n in 0..world.setting.hosts {
            let host = HostName::new(&format!("h{n:05}")).unwrap();
            world.index.insert(host.clone(), n);
            let (process, effects) = Process::new(&world.setting, n, host, world.wall());
            world.processes.push(process);
            world.member_effects(n, effects);
            world.greet(n);
        }
        if !world.setting.faults_until.is_zero() {
            world.after(Duration::from_secs(5), Event::Adversary);
        }
        if world.setting.versions > 1 {
            world.after(world.setting.every, Event::Version);
        }
        world.after(Duration::from_mins(1), Event::Operator);
        world
    }

    pub fn calm(&self) -> bool {
        self.now.0 >= self.setting.faults_until
    }

    pub fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + i64::try_from(self.now.0.as_secs()).unwrap()).unwrap()
    }

    pub(super) fn moment(&mut self) -> Moment {
        Moment { boot: self.now, wall: self.wall(), chance: self.rng.u64(..) }
    }

    pub(super) fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now.plus(wait), event);
    }

    /// Queues an event. One that is due already comes next, because time never goes back.
    pub(super) fn at(&mut self, at: BootTime, event: Event) {
        self.queue.put(at.max(self.now), event);
    }

    /// Plays one event. `false`: there is none.
    pub fn step(&mut self) -> bool {
        let Some((at, event)) = self.queue.next() else { return false };
        assert!(at >= self.now, "virtual time went back");
        self.now = at;
        self.steps += 1;
        if let Some(n) = reaches(&event)
            && self.processes[n].frozen_until > self.now
        {
            self.processes[n].parked.push(event);
            return true;
        }
        match event {
            Event::Store(n, start, request) => self.serve(n, start, request),
            Event::Member(n, start, input) if self.is_here(n, start) => self.member(n, vec![input]),
            Event::Conductor(n, start, input) if self.is_here(n, start) => self.conductor(n, input),
            Event::Target(n, start, state) if self.is_here(n, start) => self.target(n, state),
            Event::Verify(n, start) if self.is_here(n, start) => self.verify(n),
            Event::RunEnds(n, run) => self.run_ends(n, run),
            Event::Timer(n) => self.wakeup(n),
            Event::Thaw(n) => self.thaw(n),
            Event::Adversary => self.adversary(),
            Event::Restart(n) => self.restart(n),
            Event::End(tenure) => {
                let changes = self.store.end(tenure);
                self.changed(&changes);
            }
            Event::Reconnected(n, start) if self.is_here(n, start) => self.reconnected(n),
            Event::FoundRestored(n, start) if self.is_here(n, start) => self.found_restored(n),
            // For a process that has ended since.
            Event::Member(..)
            | Event::Conductor(..)
            | Event::Target(..)
            | Event::Verify(..)
            | Event::Reconnected(..)
            | Event::FoundRestored(..) => {}
            Event::BackUp => self.backup = Some(self.store.clone()),
            Event::Restore => self.restore(),
            Event::Version => self.next_version(),
            Event::Operator => self.operator(),
        }
        true
    }

    fn is_here(&self, n: usize, start: u64) -> bool {
        self.processes[n].up && self.processes[n].start == start
    }

    pub(super) fn next_version(&mut self) {
        if self.version >= self.setting.versions {
            return;
        }
        self.version += 1;
        self.newest = state(self.version);
        for n in 0..self.processes.len() {
            let delay = self.delay();
            let start = self.processes[n].start;
            let newest = self.newest;
            let at = self.fifo(n, delay);
            self.at(at, Event::Target(n, start, newest));
        }
        self.after(self.setting.every, Event::Version);
    }

    /// Everything that the store holds and what the daemons do, for whoever looks for a fault.
    pub fn shown(&self) -> String {
        let keys = self.store.keys.iter().map(|(key, stored)| match &stored.value {
            Value::Host(r) => format!(
                "{key} {:?} {:?} seen {:?} applied {:?} permit {:?} back {:?} failures {}",
                r.state,
                r.why,
                r.seen.map(|s| s.version),
                r.applied.map(|s| s.version),
                r.permit,
                r.back,
                r.failures
            ),
            Value::Alive(_)
            | Value::Permit(_)
            | Value::Twin(_)
            | Value::Rollout(_)
            | Value::Summary(_)
            | Value::Conductor(_)
            | Value::Control(_)
            | Value::Later
            | Value::Unreadable => format!("{key} {:?}", stored.value),
        });
        let processes = self.processes.iter().map(|process| {
            let conductor = process.conductor.as_ref().map(|c| (c.conducts(), c.deadline(), c.group().sums));
            let member = (process.member.is_registered(), process.member.deadline());
            format!("{} up {} {:?} {member:?} {conductor:?}", process.host, process.up, process.actor.phase)
        });
        format!("newest {}\n{}", self.newest, keys.chain(processes).collect::<Vec<_>>().join("\n"))
    }

    pub fn all_converged(&self) -> bool {
        self.version >= self.setting.versions
            && oracle::converged(&self.store, self.newest, self.processes.iter().map(|process| &process.host))
    }
}
