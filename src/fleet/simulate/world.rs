//! Hosts, conductors, the network between them and the store, and the adversary: one queue of events, one seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;

use super::actor::{Actor, Phase};
use super::oracle::{self, Oracle};
use super::planted::Planted;
use super::store::{Change, Store};
use crate::fleet::conduct::{self, Conductor, Moment, Part};
use crate::fleet::member::{self, Member, Own, Profile};
use crate::fleet::record::{Instance, Summary};
use crate::fleet::terms::Terms;
use crate::fleet::{
    BootTime, DRIFT, FRESH, GroupKey, GroupName, HostName, Identity, Outcome, Revision, StateId, TenureId,
    Transaction, Value,
};
use crate::watch::Version;

/// An action ends by itself, or is killed, after so long.
const TIMEOUT: Duration = Duration::from_secs(20);
const KILL_AFTER: Duration = Duration::from_secs(2);
pub const TTL: Duration = Duration::from_secs(30);

/// What a seed is played with.
#[derive(Clone)]
pub struct Setting {
    pub hosts: usize,
    pub conductors: usize,
    /// Terms by host; the last one for all others.
    pub terms: Vec<Terms>,
    /// Longest run.
    pub run: Duration,
    /// The adversary acts until then.
    pub faults_until: Duration,
    /// Chance of a failed run, in thousands, until the faults end.
    pub failing: u32,
    pub versions: u32,
    /// Versions follow each other so fast.
    pub every: Duration,
    pub orders: bool,
    pub restart_mode: bool,
    /// Own keys are read again so often.
    pub verify: Duration,
    pub planted: Option<Planted>,
}

pub(super) enum Event {
    Store(usize, u64, Request),
    Member(usize, u64, member::Input),
    Conductor(usize, u64, conduct::Input),
    Target(usize, u64, StateId),
    RunEnds(usize, u64),
    Timer(usize),
    Verify(usize),
    Adversary,
    Restart(usize),
    End(TenureId),
    Version,
    Operator,
}

pub(super) enum Request {
    MemberCommit(u64, Transaction),
    ConductorCommit(u64, Transaction),
    ReadOwn,
    ReadAll,
    ReadSummary,
    Open,
    Revoke(TenureId),
}

pub(super) struct Process {
    pub host: HostName,
    /// Messages to a former start are dropped.
    pub start: u64,
    pub up: bool,
    pub frozen_until: BootTime,
    pub cut_until: BootTime,
    pub member: Member,
    pub conductor: Option<Conductor>,
    pub mirrors: bool,
    pub actor: Actor,
    pub tenure: Option<TenureId>,
    pub run: Option<(u64, BootTime, bool)>,
    heard: BootTime,
    timer: Option<BootTime>,
    pub writes: u32,
    pub attempts: u32,
    pub last_success: BootTime,
}

pub(super) struct Queued {
    at: BootTime,
    number: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub struct World {
    pub setting: Setting,
    pub rng: Rng,
    pub now: BootTime,
    queue: BinaryHeap<Reverse<Queued>>,
    queued: u64,
    pub(super) processes: Vec<Process>,
    index: BTreeMap<HostName, usize>,
    pub store: Store,
    pub oracle: Oracle,
    pub newest: StateId,
    pub version: u32,
    runs: u64,
    pub steps: u64,
    pub wakeups: u64,
}

pub fn state(version: u32) -> StateId {
    StateId { version: Version::Revision(i64::from(version)), digest: u64::from(version) * 7 + 1 }
}

fn profile(setting: &Setting, n: usize, host: &HostName, start: u64, former: Option<TenureId>) -> Profile {
    let terms = setting.terms.get(n).or(setting.terms.last()).cloned().unwrap_or_default();
    Profile {
        host: host.clone(),
        inst: instance(n, start),
        machine: format!("m{n}"),
        former,
        terms: Arc::new(terms),
        target: "data /git/head".into(),
        identity: Identity::Data,
        limit: TIMEOUT + KILL_AFTER + FRESH + DRIFT,
        ttl: TTL,
    }
}

fn instance(n: usize, start: u64) -> Instance {
    let text = |text: String| text;
    Instance {
        ledger: text(format!("l{n}")),
        boot: "b".to_owned(),
        inode: "1:1".to_owned(),
        nonce: start.to_string(),
    }
}

fn conductor(n: usize, host: &HostName, start: u64) -> Conductor {
    Conductor::new(Part {
        group: GroupName::new("git").unwrap(),
        host: host.clone(),
        inst: instance(n, start),
        identity: Identity::Data,
        ttl: TTL,
    })
}

impl World {
    pub fn new(setting: Setting, seed: u64) -> Self {
        let mut world = Self {
            rng: Rng::with_seed(seed),
            now: BootTime::default(),
            queue: BinaryHeap::new(),
            queued: 0,
            processes: Vec::new(),
            index: BTreeMap::new(),
            store: Store::default(),
            oracle: Oracle::default(),
            newest: state(1),
            version: 1,
            runs: 0,
            steps: 0,
            wakeups: 0,
            setting,
        };
        for n in 0..world.setting.hosts {
            let host = HostName::new(&format!("h{n:05}")).unwrap();
            let (member, effects) =
                Member::new(profile(&world.setting, n, &host, 0, None), None, world.wall());
            let members = u32::try_from(world.setting.hosts).unwrap();
            let within = Duration::from_millis(1).saturating_mul(members).min(Duration::from_secs(5));
            world.index.insert(host.clone(), n);
            world.processes.push(Process {
                conductor: (n < world.setting.conductors).then(|| conductor(n, &host, 0)),
                host,
                start: 0,
                up: true,
                frozen_until: BootTime::default(),
                cut_until: BootTime::default(),
                member,
                mirrors: false,
                actor: Actor::new(world.setting.restart_mode, 1, within),
                tenure: None,
                run: None,
                heard: BootTime::default(),
                timer: None,
                writes: 0,
                attempts: 0,
                last_success: BootTime::default(),
            });
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

    /// A daemon that starts hears of the watched key and of the conductor's seat.
    fn greet(&mut self, n: usize) {
        let start = self.processes[n].start;
        let newest = self.newest;
        let delay = self.delay();
        self.after(delay, Event::Target(n, start, newest));
        let verify = self.setting.verify.mul_f64(0.5 + self.rng.f64());
        self.after(verify, Event::Verify(n));
        if self.processes[n].conductor.is_some() {
            let seat = self.store.read(&GroupKey::Conductor);
            self.tell(n, &GroupKey::Conductor, seat);
        }
    }

    pub fn calm(&self) -> bool {
        self.now.0 >= self.setting.faults_until
    }

    pub fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + i64::try_from(self.now.0.as_secs()).unwrap()).unwrap()
    }

    fn moment(&mut self) -> Moment {
        Moment { boot: self.now, wall: self.wall(), chance: self.rng.u64(..) }
    }

    pub(super) fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now.plus(wait), event);
    }

    fn at(&mut self, at: BootTime, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse(Queued { at, number: self.queued, event }));
    }

    fn delay(&mut self) -> Duration {
        if !self.calm() && self.rng.u32(..100) < 5 {
            return Duration::from_millis(self.rng.u64(..12_000));
        }
        Duration::from_millis(1 + self.rng.u64(..20))
    }

    /// Plays one event. `false`: there is none.
    pub fn step(&mut self) -> bool {
        let Some(Reverse(queued)) = self.queue.pop() else { return false };
        self.now = queued.at;
        self.steps += 1;
        if let Some(n) = reaches(&queued.event)
            && self.processes[n].frozen_until > self.now
        {
            let at = self.processes[n].frozen_until;
            self.at(at, queued.event);
            return true;
        }
        match queued.event {
            Event::Store(n, start, request) => self.serve(n, start, request),
            Event::Member(n, start, input) if self.is_here(n, start) => self.member(n, vec![input]),
            Event::Conductor(n, start, input) if self.is_here(n, start) => self.conductor(n, input),
            Event::Target(n, start, state) if self.is_here(n, start) => self.target(n, state),
            Event::Member(..) | Event::Conductor(..) | Event::Target(..) => {}
            Event::RunEnds(n, run) => self.run_ends(n, run),
            Event::Timer(n) => self.wakeup(n),
            Event::Verify(n) => self.verify(n),
            Event::Adversary => self.adversary(),
            Event::Restart(n) => self.restart(n),
            Event::End(tenure) => {
                let changes = self.store.end(tenure);
                self.changed(&changes);
            }
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

    /// Watches of one process are in order.
    fn fifo(&mut self, n: usize, delay: Duration) -> BootTime {
        let at = self.now.plus(delay).max(self.processes[n].heard);
        self.processes[n].heard = at;
        at
    }

    /// Keys changed: whoever watches them hears of it, late, twice, or never.
    pub(super) fn changed(&mut self, changes: &[Change]) {
        for change in changes {
            if let GroupKey::Permit(host) = &change.key
                && let Some(n) = self.index.get(host).copied()
            {
                let permit = change.entry.clone();
                self.wakeups += 1;
                self.send_watch(n, |start| Event::Member(n, start, member::Input::Permit(permit.clone())));
            }
            for n in 0..self.setting.conductors.min(self.processes.len()) {
                if self.processes[n].mirrors || change.key == GroupKey::Conductor {
                    self.wakeups += u64::from(matches!(change.key, GroupKey::Permit(_)));
                    self.tell(n, &change.key, change.entry.clone());
                }
            }
            if matches!(change.key, GroupKey::Alive(_) | GroupKey::Host(_) | GroupKey::Control)
                && self.setting.hosts <= 100
            {
                self.oracle.note_limit(&self.store, self.now);
            }
        }
    }

    fn tell(&mut self, n: usize, key: &GroupKey, entry: crate::fleet::Entry) {
        let entry = Planted::seen(self.setting.planted, &self.setting.terms, entry);
        self.send_watch(n, |start| {
            Event::Conductor(n, start, conduct::Input::Changed(key.clone(), entry.clone()))
        });
    }

    fn send_watch(&mut self, n: usize, event: impl Fn(u64) -> Event) {
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
    }

    fn target(&mut self, n: usize, state: StateId) {
        if self.processes[n].conductor.is_some() {
            self.conductor(n, conduct::Input::Target(Some(state)));
        }
        // A late watch shows an older state; the driver's order says so.
        if self.processes[n].actor.newest.is_some_and(|newest| state.version.is_before(newest.version)) {
            return;
        }
        let kept = self.setting.planted == Some(Planted::PermitKept);
        let inputs = self.processes[n].actor.state(state, kept);
        self.member(n, inputs);
    }

    pub(super) fn member(&mut self, n: usize, inputs: Vec<member::Input>) {
        let now = self.moment();
        let waits_before = self.processes[n].member.record().asks();
        if let [member::Input::Tenure(tenure)] = inputs[..] {
            self.processes[n].tenure = Some(tenure);
            if self.processes[n].conductor.is_some() {
                self.conductor(n, conduct::Input::Tenure(Some(tenure)));
            }
        }
        let effects = self.processes[n].member.step(inputs, now);
        self.member_effects(n, effects);
        let waits = self.processes[n].member.record().asks();
        if waits != waits_before && self.processes[n].conductor.is_some() {
            self.conductor(n, conduct::Input::Waiting(waits));
        }
        self.arm(n);
    }

    pub(super) fn member_effects(&mut self, n: usize, effects: Vec<member::Effect>) {
        let mut inputs = Vec::new();
        for effect in effects {
            match effect {
                member::Effect::OpenTenure => {
                    if let Some(tenure) = self.processes[n].tenure.take() {
                        // The client gave it up; the store ends it when it likes.
                        self.after(TTL, Event::End(tenure));
                        if self.processes[n].conductor.is_some() {
                            self.conductor(n, conduct::Input::Tenure(None));
                        }
                    }
                    self.send(n, Request::Open);
                }
                member::Effect::Revoke(tenure) => self.send(n, Request::Revoke(tenure)),
                member::Effect::ReadOwn => self.send(n, Request::ReadOwn),
                member::Effect::Commit(ticket, transaction) => {
                    self.send(n, Request::MemberCommit(ticket, transaction));
                }
                member::Effect::Permit(permit) => {
                    let (more, ends_run) = self.processes[n].actor.permit(&permit, self.now);
                    inputs.extend(more);
                    if ends_run && let Some((run, ends, failed)) = self.processes[n].run {
                        let ends = ends.min(self.now.plus(Duration::from_secs(1)));
                        self.processes[n].run = Some((run, ends, failed));
                        self.at(ends, Event::RunEnds(n, run));
                    }
                }
                member::Effect::Claimed { permit, fresh_until } => {
                    let stale_too = self.setting.planted == Some(Planted::NoFresh);
                    let (more, start) =
                        self.processes[n].actor.claimed(permit, fresh_until, self.now, stale_too);
                    inputs.extend(more);
                    if let Some(start) = start {
                        self.start(n, &start);
                    }
                }
                member::Effect::Refused(permit) => inputs.extend(self.processes[n].actor.refused(permit)),
                member::Effect::PermitLost(permit) => inputs.extend(self.processes[n].actor.lost(permit)),
                member::Effect::Conflict(_) => {}
            }
        }
        if !inputs.is_empty() {
            self.member(n, inputs);
        }
    }

    fn start(&mut self, n: usize, start: &super::actor::Start) {
        self.runs += 1;
        let length = if self.setting.run < Duration::from_secs(2) || self.rng.bool() {
            self.setting.run.mul_f64(self.rng.f64())
        } else {
            TIMEOUT.mul_f64(0.9 + 0.1 * self.rng.f64()).min(self.setting.run)
        };
        let fails = !self.calm() && self.rng.u32(..1000) < self.setting.failing;
        let ends = self.now.plus(length);
        let process = &mut self.processes[n];
        process.run = Some((self.runs, ends, fails));
        process.attempts += 1;
        process.actor.phase =
            Phase::Acting { permit: Arc::clone(&start.permit), state: start.state, run: self.runs };
        self.oracle.started(&process.host.clone(), start.permit.id, start.state);
        self.at(ends, Event::RunEnds(n, self.runs));
    }

    /// The action ends by itself; its daemon hears of it when it can.
    fn run_ends(&mut self, n: usize, run: u64) {
        let process = &mut self.processes[n];
        let Some((_, _, failed)) =
            process.run.filter(|(number, ends, _)| *number == run && *ends <= self.now)
        else {
            return;
        };
        self.oracle.running.remove(&process.host);
        if !process.up {
            return;
        }
        if process.frozen_until > self.now {
            let at = process.frozen_until;
            return self.at(at, Event::RunEnds(n, run));
        }
        process.run = None;
        if !failed {
            process.last_success = self.now;
        }
        let held = match &process.actor.phase {
            Phase::Acting { permit, .. } => process.member.record().permit == Some(permit.id),
            Phase::Idle | Phase::Asked | Phase::Claiming(_) | Phase::Retrying { .. } | Phase::Hold { .. } => {
                false
            }
        };
        let inputs = process.actor.ended(failed, held, self.now);
        self.member(n, inputs);
    }

    fn wakeup(&mut self, n: usize) {
        let process = &mut self.processes[n];
        process.timer = None;
        if !process.up {
            return;
        }
        let due = |at: Option<BootTime>, now: BootTime| at.is_some_and(|at| at <= now);
        if due(process.actor.deadline(), self.now) {
            let inputs = process.actor.wakeup(self.now);
            self.member(n, inputs);
        }
        if due(self.processes[n].member.deadline(), self.now) {
            self.member(n, vec![member::Input::Wakeup]);
        }
        if due(self.processes[n].conductor.as_ref().and_then(Conductor::deadline), self.now) {
            self.conductor(n, conduct::Input::Wakeup);
        }
        self.arm(n);
    }

    fn arm(&mut self, n: usize) {
        let process = &self.processes[n];
        let conductor = process.conductor.as_ref().and_then(Conductor::deadline);
        let due =
            [process.member.deadline(), process.actor.deadline(), conductor].into_iter().flatten().min();
        let Some(due) = due.map(|due| due.max(self.now.plus(Duration::from_millis(1)))) else { return };
        if process.timer.is_none_or(|timer| due < timer || timer < self.now) {
            self.processes[n].timer = Some(due);
            self.at(due, Event::Timer(n));
        }
    }

    pub(super) fn conductor(&mut self, n: usize, input: conduct::Input) {
        let now = self.moment();
        let Some(conductor) = &mut self.processes[n].conductor else { return };
        let effects = conductor.step(input, now);
        for effect in effects {
            match effect {
                conduct::Effect::ReadAll => self.send(n, Request::ReadAll),
                conduct::Effect::ReadSummary => self.send(n, Request::ReadSummary),
                conduct::Effect::Commit(ticket, transaction) => {
                    self.send(n, Request::ConductorCommit(ticket, transaction));
                }
                conduct::Effect::Mirror(mirrors) => self.processes[n].mirrors = mirrors,
            }
        }
        self.arm(n);
    }

    fn send(&mut self, n: usize, request: Request) {
        let delay = self.delay();
        let start = self.processes[n].start;
        self.after(delay, Event::Store(n, start, request));
    }

    /// A request reaches the store, or does not; its answer is late or lost.
    fn serve(&mut self, n: usize, start: u64, request: Request) {
        let cut = self.processes[n].cut_until > self.now;
        let lost = cut || !self.calm() && self.rng.u32(..100) < 2;
        let delay = if lost { Duration::from_secs(5) } else { self.delay() };
        // What is cut off may still arrive now and then.
        let arrives = !cut || self.rng.u32(..10) == 0;
        match request {
            Request::MemberCommit(ticket, transaction) => {
                let outcome = if arrives { self.commit_member(n, &transaction) } else { Outcome::Unanswered };
                let outcome = if lost { Outcome::Unanswered } else { outcome };
                self.after(delay, Event::Member(n, start, member::Input::Committed(ticket, outcome)));
            }
            Request::ConductorCommit(ticket, transaction) => {
                let outcome = if arrives { self.commit_conductor(&transaction) } else { Outcome::Unanswered };
                let outcome = if lost { Outcome::Unanswered } else { outcome };
                self.after(delay, Event::Conductor(n, start, conduct::Input::Committed(ticket, outcome)));
            }
            // Reads are repeated until they are answered.
            other if lost => self.after(delay, Event::Store(n, start, other)),
            Request::ReadOwn => {
                let own = self.own(n);
                self.after(delay, Event::Member(n, start, member::Input::Own(own)));
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

    fn own(&self, n: usize) -> Own {
        let host = &self.processes[n].host;
        let read = |key| self.store.read(&key);
        Own {
            record: read(GroupKey::Host(host.clone())),
            alive: read(GroupKey::Alive(host.clone())),
            permit: read(GroupKey::Permit(host.clone())),
            control: self.store.keys.get(&GroupKey::Control).map_or(Revision::ABSENT, |stored| stored.at),
        }
    }

    fn commit_member(&mut self, n: usize, transaction: &Transaction) -> Outcome {
        let host = self.processes[n].host.clone();
        let back = oracle::record(&self.store, &host).and_then(|record| record.back);
        let claims = Planted::claims(transaction, &host);
        let transaction = Planted::member(self.setting.planted, transaction, claims.is_some());
        let (outcome, changes) = self.store.commit(&transaction);
        if let Outcome::Applied(_) = outcome {
            self.processes[n].writes += 1;
            let claims = claims.filter(|_| self.setting.planted != Some(Planted::NoClaim));
            self.oracle.wrote(&self.store, &host, back, claims);
            self.changed(&changes);
        }
        outcome
    }

    fn commit_conductor(&mut self, transaction: &Transaction) -> Outcome {
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
        if let Outcome::Applied(_) = outcome {
            for change in &changes {
                if let GroupKey::Permit(host) = &change.key
                    && let Some(n) = self.index.get(host)
                {
                    self.processes[*n].writes += 1;
                }
            }
            self.oracle.conducted(&self.store, &changes, &before);
            self.changed(&changes);
        }
        outcome
    }

    /// The driver's verification: what watches missed is found.
    fn verify(&mut self, n: usize) {
        let again = self.setting.verify.mul_f64(0.8 + 0.4 * self.rng.f64());
        self.after(again, Event::Verify(n));
        if !self.processes[n].up || self.processes[n].cut_until > self.now {
            return;
        }
        let newest = self.newest;
        self.target(n, newest);
        let own = self.own(n);
        self.member(n, vec![member::Input::Own(own)]);
        if self.processes[n].conductor.is_some() {
            let seat = self.store.read(&GroupKey::Conductor);
            self.conductor(n, conduct::Input::Changed(GroupKey::Conductor, seat));
        }
        if self.processes[n].mirrors && self.setting.hosts <= 100 {
            for (key, entry) in self.store.read_all() {
                let entry = Planted::seen(self.setting.planted, &self.setting.terms, entry);
                self.conductor(n, conduct::Input::Changed(key, entry));
            }
            for host in 0..self.processes.len() {
                let host = self.processes[host].host.clone();
                for key in
                    [GroupKey::Alive(host.clone()), GroupKey::Permit(host.clone()), GroupKey::Host(host)]
                {
                    if !self.store.keys.contains_key(&key) {
                        let entry = self.store.read(&key);
                        self.conductor(n, conduct::Input::Changed(key, entry));
                    }
                }
            }
        }
    }

    /// A daemon starts again; the ledger knows what was applied, and a run is adopted.
    pub(super) fn restart(&mut self, n: usize) {
        let (wall, now) = (self.wall(), self.now);
        let setting = self.setting.clone();
        let process = &mut self.processes[n];
        if process.up {
            return;
        }
        process.up = true;
        process.start += 1;
        process.mirrors = false;
        process.timer = None;
        process.heard = now;
        let former = process.tenure.take();
        let (mut member, effects) = Member::new(
            profile(&setting, n, &process.host, process.start, former),
            process.actor.applied,
            wall,
        );
        process.actor.restarted();
        let adopted = match &process.actor.phase {
            Phase::Acting { permit, state, .. } => Some((permit.id, *state)),
            Phase::Idle | Phase::Asked | Phase::Claiming(_) | Phase::Retrying { .. } | Phase::Hold { .. } => {
                None
            }
        };
        if let Some((permit, state)) = adopted {
            member.adopt(permit, state, 1);
        }
        process.member = member;
        process.conductor = process.conductor.is_some().then(|| conductor(n, &process.host, process.start));
        self.member_effects(n, effects);
        self.greet(n);
        if let Some((run, ends, _)) = self.processes[n].run {
            let at = ends.max(self.now.plus(Duration::from_millis(500)));
            self.at(at, Event::RunEnds(n, run));
        }
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
        let hosts: Vec<HostName> = self.processes.iter().map(|process| process.host.clone()).collect();
        self.version >= self.setting.versions && oracle::converged(&self.store, self.newest, &hosts)
    }
}

/// Which process an event waits for while it is frozen.
fn reaches(event: &Event) -> Option<usize> {
    match event {
        Event::Member(n, ..)
        | Event::Conductor(n, ..)
        | Event::Target(n, ..)
        | Event::Timer(n)
        | Event::Verify(n) => Some(*n),
        Event::Store(..)
        | Event::RunEnds(..)
        | Event::Adversary
        | Event::Restart(_)
        | Event::End(_)
        | Event::Version
        | Event::Operator => None,
    }
}
