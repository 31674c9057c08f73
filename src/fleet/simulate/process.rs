//! The daemon of one host: its two machines, the watch's actor, and the action that it runs.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::actor::{Actor, Phase, Start};
use super::network::Request;
use super::planted::Planted;
use super::queue::Event;
use super::setting::Setting;
use super::world::World;
use crate::fleet::conduct::{self, Conductor, Part};
use crate::fleet::member::{self, MemberMachine, Profile};
use crate::fleet::record::Instance;
use crate::fleet::{
    BootTime, DRIFT, FRESH, GroupKey, GroupName, HostName, Revision, StateId, StateIdentity, TenureId,
};

/// An action ends by itself, or is killed, after so long.
const TIMEOUT: Duration = Duration::from_secs(20);
const KILL_AFTER: Duration = Duration::from_secs(2);
pub const TTL: Duration = Duration::from_secs(30);

#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(super) struct Process {
    pub host: HostName,
    /// Messages to a former start are dropped.
    pub start: u64,
    pub up: bool,
    pub frozen_until: BootTime,
    pub cut_until: BootTime,
    pub member: MemberMachine,
    pub conductor: Option<Conductor>,
    pub mirrors: bool,
    pub actor: Actor,
    pub tenure: Option<TenureId>,
    pub run: Option<(u64, BootTime, bool)>,
    /// Its watches have delivered everything up to then.
    pub heard: BootTime,
    timer: Option<BootTime>,
    /// The ledger's revision of the own record.
    pub memory: Option<Revision>,
    /// It had that when it started.
    pub knew: bool,
    /// The next reading of the own keys may show that the store was restored, also by a record that is gone.
    pub disturbed: bool,
    /// Its conductor knows that the own record was read.
    pub verified: bool,
    /// Events that came while it was frozen, in order.
    pub parked: Vec<Event>,
    /// Writes of its keys since the last count.
    pub writes: u32,
    /// Runs since the last count.
    pub attempts: u32,
    pub last_success: BootTime,
}

impl Process {
    pub fn new(setting: &Setting, n: usize, host: HostName, wall: Timestamp) -> (Self, Vec<member::Effect>) {
        let (member, effects) = MemberMachine::new(profile(setting, n, &host, 0, None), None, wall);
        let members = u32::try_from(setting.hosts).unwrap();
        let within = Duration::from_millis(1).saturating_mul(members).min(Duration::from_secs(5));
        let conductor = (n < setting.conductors).then(|| conductor(setting, n, &host, 0));
        let process = Self {
            host,
            start: 0,
            up: true,
            frozen_until: BootTime::default(),
            cut_until: BootTime::default(),
            member,
            conductor,
            mirrors: false,
            actor: Actor::new(setting.restart_mode, 1, setting.on_load, within),
            tenure: None,
            run: None,
            heard: BootTime::default(),
            timer: None,
            memory: None,
            knew: false,
            disturbed: true,
            verified: false,
            parked: Vec::new(),
            writes: 0,
            attempts: 0,
            last_success: BootTime::default(),
        };
        (process, effects)
    }
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
        identity: StateIdentity::Data,
        limit: TIMEOUT + KILL_AFTER + FRESH + DRIFT,
        ttl: TTL,
    }
}

fn instance(n: usize, start: u64) -> Instance {
    Instance {
        ledger: format!("l{n}"),
        boot: "b".to_owned(),
        inode: "1:1".to_owned(),
        nonce: start.to_string(),
    }
}

fn conductor(setting: &Setting, n: usize, host: &HostName, start: u64) -> Conductor {
    Conductor::new(Part {
        group: GroupName::new("git").unwrap(),
        host: host.clone(),
        inst: instance(n, start),
        identity: StateIdentity::Data,
        ttl: if setting.planted == Some(Planted::NoMemory) { Duration::ZERO } else { TTL },
    })
}

impl World {
    /// SIGSTOP, or a suspended machine: what comes meanwhile waits.
    pub(super) fn freeze(&mut self, n: usize, lasts: Duration) {
        let until = self.now.plus(lasts);
        self.processes[n].frozen_until = until;
        self.at(until, Event::Thaw(n));
    }

    /// It goes on, with everything that came meanwhile, in order.
    pub(super) fn thaw(&mut self, n: usize) {
        if self.processes[n].frozen_until <= self.now {
            for event in std::mem::take(&mut self.processes[n].parked) {
                self.at(self.now, event);
            }
        }
    }

    /// A daemon that starts hears of the watched key and of the conductor's seat.
    pub(super) fn greet(&mut self, n: usize) {
        let start = self.processes[n].start;
        let newest = self.newest;
        let delay = self.delay();
        self.after(delay, Event::Target(n, start, newest));
        let verify = self.setting.verify.mul_f64(0.5 + self.rng.f64());
        self.after(verify, Event::Verify(n, start));
        if self.processes[n].conductor.is_some() {
            let seat = self.store.read(&GroupKey::Conductor);
            self.tell(n, &GroupKey::Conductor, seat);
        }
    }

    pub(super) fn target(&mut self, n: usize, state: StateId) {
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
        let reads = inputs.iter().any(|input| matches!(input, member::Input::Own(_)));
        let effects = self.processes[n].member.step(inputs, now);
        self.member_effects(n, effects);
        self.remember(n);
        if reads && !std::mem::replace(&mut self.processes[n].verified, true) {
            let remembered = self.processes[n].knew;
            self.conductor(n, conduct::Input::Verified { remembered });
        }
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
                member::Effect::ReadOwn => {
                    let (record, permit) = self.processes[n].member.known();
                    self.send(n, Request::ReadOwn(record, permit));
                }
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

    fn start(&mut self, n: usize, start: &Start) {
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
    pub(super) fn run_ends(&mut self, n: usize, run: u64) {
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
            return process.parked.push(Event::RunEnds(n, run));
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

    pub(super) fn wakeup(&mut self, n: usize) {
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
                    self.race(&transaction);
                    self.send(n, Request::ConductorCommit(ticket, transaction));
                }
                conduct::Effect::Mirror(mirrors) => self.processes[n].mirrors = mirrors,
                conduct::Effect::ShowSeat => {
                    let seat = self.store.read(&GroupKey::Conductor);
                    self.tell(n, &GroupKey::Conductor, seat);
                }
            }
        }
        self.arm(n);
    }

    /// The driver's verification: what watches missed is found.
    pub(super) fn verify(&mut self, n: usize) {
        let again = self.setting.verify.mul_f64(0.8 + 0.4 * self.rng.f64());
        self.after(again, Event::Verify(n, self.processes[n].start));
        if self.processes[n].cut_until > self.now {
            return;
        }
        let newest = self.newest;
        self.target(n, newest);
        let own = self.own(n);
        if self.shows_restore(n, &own, self.processes[n].member.known()) {
            return self.found_restored(n);
        }
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
        process.verified = false;
        process.disturbed = true;
        process.knew = process.memory.is_some() || setting.planted == Some(Planted::NoMemory);
        process.heard = now;
        let former = process.tenure.take();
        let (mut member, effects) = MemberMachine::new(
            profile(&setting, n, &process.host, process.start, former),
            process.actor.applied,
            wall,
        );
        if let Some(at) = process.memory.filter(|_| setting.planted != Some(Planted::NoMemory)) {
            member.remember(at);
        }
        let forgets = setting.planted == Some(Planted::LostCount);
        if let Some(state) = process.actor.recorded.filter(|_| !forgets) {
            member.give_up(state);
        }
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
        process.conductor =
            process.conductor.is_some().then(|| conductor(&setting, n, &process.host, process.start));
        self.member_effects(n, effects);
        self.greet(n);
        if let Some((run, ends, _)) = self.processes[n].run {
            let at = ends.max(self.now.plus(Duration::from_millis(500)));
            self.at(at, Event::RunEnds(n, run));
        }
    }
}
