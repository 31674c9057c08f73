//! The conductor: it sees all records, decides who may act next, and writes permits. Pure: time and chance come in.
//!
//! Any number of these machines may believe that they conduct. Each of their transactions requires the revision
//! of `rollout` that its machine wrote when it took over, so only the last one to take over changes anything.

pub mod group;
mod plan;
mod seat;
pub mod silence;
mod waves;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use self::group::Group;
use self::seat::Seat;
use super::glob::HostGlobs;
use super::record::{ConductorRecord, Instance, Rest, Rollout, Summary};
use super::terms::InForce;
use super::view::Orders;
use super::{
    BootTime, Entry, GroupKey, GroupName, HostName, Identity, MEMBERS_MAX, Outcome, PermitId, Revision,
    StateId, TenureId, Transaction, Value, Write,
};

/// One moment: by our clock that never jumps, by the wall's for people, and a number drawn for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Decisions compare this one.
    pub boot: BootTime,
    /// Records show this one.
    pub wall: Timestamp,
    /// Any number, all equally likely.
    pub chance: u64,
}

/// Who conducts what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The group.
    pub group: GroupName,
    /// Our host.
    pub host: HostName,
    /// Our start.
    pub inst: Instance,
    /// What makes states of the watch equal.
    pub identity: Identity,
    /// A host is silent when its tenure was not renewed for so long.
    pub ttl: Duration,
}

/// What the conductor is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Our tenure began, or `None`: was lost.
    Tenure(Option<TenureId>),
    /// The newest state of the watched key; an ignored deletion leaves the last one. `None`: nothing yet.
    Target(Option<StateId>),
    /// The watched key cannot be read any more, until the next [`Input::Target`].
    Blind,
    /// The mirror, or a watch, shows a key of the group. May come late, twice, or not at all.
    Changed(GroupKey, Entry),
    /// Answers [`Effect::ReadAll`].
    All {
        /// Every key, linearizably.
        entries: Vec<(GroupKey, Entry)>,
        /// At which revision.
        at: Revision,
        /// The watched key's state, read as well. A late watch may still show an older one.
        target: Option<StateId>,
    },
    /// [`Effect::ReadAll`] failed.
    NotRead,
    /// Answers [`Effect::ReadSummary`].
    Summary(Option<Arc<Summary>>),
    /// Answers the [`Effect::Commit`] with this number.
    Committed(u64, Outcome),
    /// Our own host waits for a permit, or does not any more.
    Waiting(bool),
    /// The store was restored from a backup: a permit may be gone under which something still runs.
    Restored,
    /// A deadline has come.
    Wakeup,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an effect that is not performed leaves the fleet without a conductor"]
pub enum Effect {
    /// Read every key of the group, linearizably; answered by [`Input::All`].
    ReadAll,
    /// Read `summary`; answered by [`Input::Summary`].
    ReadSummary,
    /// Send a transaction; answered by [`Input::Committed`] with the same number.
    Commit(u64, Transaction),
    /// Follow all keys of the group with [`Input::Changed`] from now on, or only `conductor` again.
    Mirror(bool),
}

/// How far this machine is.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// Another one conducts, or nobody yet.
    Bystander,
    /// Our transaction for the seat is under way.
    Campaigning,
    /// Everything is being read, to take over.
    Reading,
    /// Our `rollout` of a new epoch is under way.
    TakingOver(Box<Rollout>),
    /// Everything is being read once more, now that nobody else can change it.
    Checking,
    /// We conduct; at most one transaction is under way.
    Conducting(Option<Box<plan::Plan>>),
    /// The seat is being given up.
    Resigning,
}

/// The machine.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Conductor {
    part: Part,
    phase: Phase,
    seat: Seat,
    tenure: Option<TenureId>,
    target: Option<StateId>,
    /// The version that was read at the takeover: a late watch may show older ones.
    read_target: Option<StateId>,
    /// The watched key cannot be read.
    blind: bool,
    /// A later version of twitcher wrote something here, or the group is too large: never conducts.
    barred: bool,
    group: Group,
    orders: Orders,
    control_at: Revision,
    /// What `rollout` holds.
    rollout: Rollout,
    /// What it is to hold.
    draft: Rollout,
    /// Permits that are held may need another stamp of `control`.
    restamp: bool,
    fence: Revision,
    summary: Option<Arc<Summary>>,
    summary_at: Option<BootTime>,
    issued: u64,
    /// The number of the last transaction: late answers to former ones say nothing.
    ticket: u64,
    soaking_since: Option<BootTime>,
    /// The open wave has just been opened.
    entering: bool,
    /// The terms as hosts say them, before an operator's override.
    said: Option<InForce>,
    /// Those that everybody was last judged by.
    canaries: HostGlobs,
    /// The override that was last seen, since when.
    set_since: Option<(u64, BootTime)>,
    /// It is in effect.
    is_set: bool,
    /// `summary` does not say what we know.
    summary_stale: bool,
    /// Nothing is granted before: the store was restored.
    hold_until: Option<BootTime>,
    restored: bool,
}

impl Conductor {
    /// A machine that does not conduct yet.
    pub fn new(part: Part) -> Self {
        let group = Group::new(part.group.clone(), part.ttl);
        Self {
            part,
            phase: Phase::Bystander,
            seat: Seat::default(),
            tenure: None,
            target: None,
            read_target: None,
            blind: true,
            barred: false,
            group,
            orders: Orders::default(),
            control_at: Revision::ABSENT,
            rollout: Rollout::default(),
            draft: Rollout::default(),
            restamp: true,
            fence: Revision::ABSENT,
            summary: None,
            summary_at: None,
            issued: 0,
            ticket: 0,
            soaking_since: None,
            entering: false,
            said: None,
            canaries: HostGlobs::default(),
            set_since: None,
            is_set: false,
            summary_stale: false,
            hold_until: None,
            restored: false,
        }
    }

    /// Whether it conducts, as far as it knows.
    pub fn conducts(&self) -> bool {
        matches!(self.phase, Phase::Conducting(_))
    }

    /// Whether it never will: a later version of twitcher works on the group, or it has too many members.
    pub fn is_barred(&self) -> bool {
        self.barred
    }

    /// What it knows of the group. Complete only while it conducts.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The rollout as it was last written by us.
    pub fn rollout(&self) -> &Rollout {
        &self.rollout
    }

    /// When [`Input::Wakeup`] is due.
    pub fn deadline(&self) -> Option<BootTime> {
        match self.phase {
            Phase::Bystander => self.seat.deadline().filter(|_| self.is_eligible()),
            Phase::Conducting(None) => self.next_turn(),
            Phase::Campaigning
            | Phase::Reading
            | Phase::TakingOver(_)
            | Phase::Checking
            | Phase::Conducting(Some(_))
            | Phase::Resigning => None,
        }
    }

    /// Handles one input.
    #[must_use]
    pub fn step(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        match input {
            Input::Tenure(tenure) => {
                self.tenure = tenure;
                if tenure.is_none() {
                    return self.stand_down();
                }
            }
            Input::Target(target) => {
                self.blind = false;
                let late = |(target, read): (StateId, StateId)| target.version.is_before(read.version);
                if !target.zip(self.read_target).is_some_and(late) {
                    self.target = target;
                }
            }
            Input::Blind => {
                self.blind = true;
                return self.resign();
            }
            Input::Changed(key, entry) => {
                if let Some(effects) = self.changed(&key, &entry, now) {
                    return effects;
                }
            }
            Input::All { entries, at, target } => return self.read_all(&entries, at, target, now),
            Input::NotRead => {
                return match self.phase {
                    Phase::Reading | Phase::Checking => vec![Effect::ReadAll],
                    Phase::Bystander
                    | Phase::Campaigning
                    | Phase::TakingOver(_)
                    | Phase::Conducting(_)
                    | Phase::Resigning => Vec::new(),
                };
            }
            Input::Summary(summary) => {
                let beat = summary.as_ref().map_or(0, |summary| summary.beat);
                let expected = summary.is_none_or(|s| s.held + s.hosts.asking > 0 || s.id != self.target);
                if self.phase == Phase::Bystander && self.seat.heard(beat, expected, now, self.part.ttl) {
                    return vec![Effect::ReadAll];
                }
            }
            Input::Committed(ticket, outcome) => {
                return if ticket == self.ticket { self.committed(outcome, now) } else { Vec::new() };
            }
            Input::Waiting(waiting) => self.seat.waiting = waiting,
            Input::Restored => {
                self.restored = true;
                self.read_target = None;
                return match self.phase {
                    Phase::Conducting(None) => self.take_over_anew(),
                    Phase::Bystander
                    | Phase::Campaigning
                    | Phase::Reading
                    | Phase::TakingOver(_)
                    | Phase::Checking
                    | Phase::Conducting(Some(_))
                    | Phase::Resigning => Vec::new(),
                };
            }
            Input::Wakeup => {}
        }
        self.turn(now)
    }

    /// What follows from all that is known.
    fn turn(&mut self, now: Moment) -> Vec<Effect> {
        match self.phase {
            Phase::Bystander if self.is_eligible() => self.seek_seat(now),
            Phase::Bystander if self.tenure.is_some() && self.has_seat().is_some() => self.resign_seat(),
            Phase::Conducting(None) => self.conduct(now),
            Phase::Bystander
            | Phase::Campaigning
            | Phase::Reading
            | Phase::TakingOver(_)
            | Phase::Checking
            | Phase::Conducting(Some(_))
            | Phase::Resigning => Vec::new(),
        }
    }

    fn is_eligible(&self) -> bool {
        self.tenure.is_some() && !self.blind && !self.barred
    }

    /// Takes over a key. `Some`: it decided what is to be done.
    fn changed(&mut self, key: &GroupKey, entry: &Entry, now: Moment) -> Option<Vec<Effect>> {
        if *key == GroupKey::Conductor {
            return self.seat_changed(entry);
        }
        self.take_in(key, entry, now.boot);
        if self.conducts() && entry.value == Some(Value::Later) {
            self.barred = true;
            return Some(self.resign());
        }
        None
    }

    /// Puts a key into the picture, unless something later is known of it.
    fn take_in(&mut self, key: &GroupKey, entry: &Entry, now: BootTime) {
        let value = entry.value.as_ref();
        match key {
            GroupKey::Host(host) => drop(self.group.record(host, entry.at, value, now)),
            GroupKey::Alive(host) => drop(self.group.alive(host, entry.at, value.is_some(), now)),
            GroupKey::Permit(host) => drop(self.group.permit(host, entry.at, value, now)),
            GroupKey::Control if entry.at > self.control_at => {
                self.control_at = entry.at;
                self.restamp = true;
                let control = match value {
                    Some(Value::Control(control)) => Some(Arc::clone(control)),
                    Some(_) | None => None,
                };
                let unreadable = value.is_some() && control.is_none();
                self.orders =
                    Orders { at: entry.revision(), control: control.unwrap_or_default(), unreadable };
            }
            GroupKey::Control
            | GroupKey::Twin(..)
            | GroupKey::Rollout
            | GroupKey::Summary
            | GroupKey::Conductor => {}
        }
    }

    /// Every key was read.
    fn read_all(
        &mut self,
        entries: &[(GroupKey, Entry)],
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
        let hosts = entries.iter().filter(|(key, _)| matches!(key, GroupKey::Host(_))).count();
        if hosts > MEMBERS_MAX || entries.iter().any(|(_, entry)| entry.value == Some(Value::Later)) {
            self.barred = true;
            return self.resign();
        }
        let find = |wanted: &GroupKey| entries.iter().find(|(key, _)| key == wanted).map(|(_, entry)| entry);
        let stored = find(&GroupKey::Rollout);
        let rollout = match stored.and_then(|entry| entry.value.as_ref()) {
            Some(Value::Rollout(rollout)) => Some(rollout),
            Some(_) | None => None,
        };
        if self.phase == Phase::Checking {
            if stored.map(Entry::revision) != Some(self.fence) {
                return self.take_over_anew();
            }
            self.read_target = target;
            self.target = target;
            self.load(entries, at, now);
            self.phase = Phase::Conducting(None);
            return self.conduct(now);
        }
        let mut next = rollout.map(|rollout| (**rollout).clone()).unwrap_or_default();
        if next.epoch != self.rollout.epoch {
            self.soaking_since = None;
        }
        next.epoch = entries.iter().map(|(_, entry)| epoch_of(entry)).max().unwrap_or(0) + 1;
        let transaction = Transaction {
            require: vec![(GroupKey::Rollout, stored.map_or(Revision::ABSENT, Entry::revision))],
            write: vec![Write::put(GroupKey::Rollout, Value::Rollout(Arc::new(next.clone())))],
        };
        self.phase = Phase::TakingOver(Box::new(next));
        vec![self.commit(transaction)]
    }

    fn commit(&mut self, transaction: Transaction) -> Effect {
        self.ticket += 1;
        Effect::Commit(self.ticket, transaction)
    }

    /// Begins with exactly what was read; what came in meanwhile and is later stays.
    fn load(&mut self, entries: &[(GroupKey, Entry)], at: Revision, now: Moment) {
        let read: std::collections::HashSet<&GroupKey> = entries.iter().map(|(key, _)| key).collect();
        let absent = Entry { at, value: None };
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
        let is_alive = |(key, _): &&(GroupKey, Entry)| matches!(key, GroupKey::Alive(_));
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
        self.summary_at = None;
        self.group.watches_done = false;
        if std::mem::take(&mut self.restored) {
            let longest = self.group.members.values().map(|member| self.group.limit(member)).max();
            self.hold_until = Some(now.boot.plus(longest.unwrap_or_default()));
        }
        self.restamp = true;
        self.group.votes_changed = true;
        self.restore_lost(now.boot);
    }

    fn committed(&mut self, outcome: Outcome, now: Moment) -> Vec<Effect> {
        match std::mem::replace(&mut self.phase, Phase::Bystander) {
            Phase::Campaigning => match outcome {
                Outcome::Applied(at) => self.take_seat(at),
                // Whether it was applied is seen in the key.
                Outcome::Refused | Outcome::Unanswered => self.turn(now),
            },
            Phase::TakingOver(rollout) => match outcome {
                Outcome::Applied(at) => {
                    self.fence = at;
                    self.draft = (*rollout).clone();
                    self.rollout = *rollout;
                    self.phase = Phase::Checking;
                    vec![Effect::ReadAll]
                }
                Outcome::Refused | Outcome::Unanswered => self.take_over_anew(),
            },
            Phase::Conducting(Some(plan)) => match outcome {
                Outcome::Applied(at) => {
                    self.phase = Phase::Conducting(None);
                    self.applied(*plan, at, now);
                    if self.restored { self.take_over_anew() } else { self.conduct(now) }
                }
                Outcome::Refused | Outcome::Unanswered => self.take_over_anew(),
            },
            Phase::Resigning => {
                self.seat.left(outcome);
                self.turn(now)
            }
            // A bystander has deposed somebody.
            Phase::Bystander => self.turn(now),
            other @ (Phase::Reading | Phase::Checking | Phase::Conducting(None)) => {
                self.phase = other;
                Vec::new()
            }
        }
    }

    fn take_over_anew(&mut self) -> Vec<Effect> {
        self.phase = Phase::Reading;
        vec![Effect::ReadAll]
    }
}

/// The greatest epoch that a key mentions: a new one is greater than any, also where `rollout` was lost.
fn epoch_of(entry: &Entry) -> u64 {
    let of = |id: Option<PermitId>| id.map_or(0, |id| id.epoch);
    match &entry.value {
        Some(Value::Rollout(rollout)) => rollout.epoch,
        Some(Value::Host(record)) => of(record.permit).max(of(record.back)),
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
