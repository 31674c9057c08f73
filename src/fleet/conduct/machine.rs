//! The machine: its state, and what each input means.

use std::sync::Arc;

use super::group::Group;
use super::input::{Effect, Input, Moment, Part};
use super::plan::Plan;
use super::seat::Seat;
use crate::fleet::glob::HostGlobs;
use crate::fleet::record::{Rollout, Summary};
use crate::fleet::terms::InForce;
use crate::fleet::view::Orders;
use crate::fleet::{BootTime, GroupKey, KeyState, Revision, StateId, TenureId, Transaction, Value};

/// How far this machine is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    /// Another host conducts, or none yet.
    Bystander,
    /// Our transaction for the seat is under way.
    Campaigning,
    /// Everything is being read, to take over.
    Reading,
    /// Our `rollout` of a new epoch is under way.
    TakingOver(Box<Rollout>),
    /// Everything is read once more, now that no other conductor can change it.
    Checking,
    /// We conduct; at most one transaction is under way.
    Conducting(Option<Box<Plan>>),
    /// The seat is being given up.
    Resigning,
}

/// The machine.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Conductor {
    pub(super) part: Part,
    pub(super) phase: Phase,
    pub(super) seat: Seat,
    pub(super) tenure: Option<TenureId>,
    pub(super) target: Option<StateId>,
    /// The version that was read at the takeover: a late watch may show older ones.
    pub(super) read_target: Option<StateId>,
    /// The watched key cannot be read.
    pub(super) blind: bool,
    /// A later version of twitcher wrote something here, or the group is too large: never conducts.
    pub(super) barred: bool,
    pub(super) group: Group,
    pub(super) orders: Orders,
    pub(super) control_at: Revision,
    /// What `rollout` holds.
    pub(super) rollout: Rollout,
    /// Its next content.
    pub(super) draft: Rollout,
    /// Permits that are held may need another stamp of `control`.
    pub(super) restamp: bool,
    pub(super) fence: Revision,
    pub(super) summary: Option<Arc<Summary>>,
    pub(super) summary_at: Option<BootTime>,
    pub(super) issued: u64,
    /// The number of the last transaction: late answers to former ones say nothing.
    pub(super) ticket: u64,
    pub(super) soaking_since: Option<BootTime>,
    /// The open wave has just been opened.
    pub(super) entering: bool,
    /// The terms as hosts say them, before an operator's override.
    pub(super) said: Option<InForce>,
    /// The canary globs by which all hosts were last judged.
    pub(super) canaries: HostGlobs,
    /// Number of the override that was last seen, and since when it is known.
    pub(super) set_since: Option<(u64, BootTime)>,
    /// The override is in effect.
    pub(super) is_set: bool,
    /// `summary` does not say what we know.
    pub(super) summary_stale: bool,
    /// The store was restored: nothing is granted before this.
    pub(super) hold_until: Option<BootTime>,
    /// When a restore was found, or one may have gone unnoticed, until `hold_until` has passed.
    pub(super) restored: Option<BootTime>,
    /// Whether our own host remembers its record, so that a restore is noticed; `None`: it has not been read yet.
    pub(super) remembered: Option<bool>,
    /// Hosts may report until then what they run, if we take over before: the store was connected only lately.
    pub(super) reports_until: Option<BootTime>,
    /// Whether making an empty `control` was tried since the takeover.
    pub(super) made_control: bool,
    /// There was a `rollout` when we took the seat.
    pub(super) succeeds: bool,
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
            restored: None,
            remembered: None,
            reports_until: None,
            made_control: false,
            succeeds: false,
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

    /// The revision of `rollout` that it last wrote. Reads that begin later show none that is older, unless the store
    /// was restored.
    pub fn fence(&self) -> Revision {
        self.fence
    }

    /// The revision at which the key of the seat is known.
    #[cfg(test)]
    pub fn seat_at(&self) -> Revision {
        self.seat.revision()
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
            Input::Verified { remembered } => {
                self.remembered = Some(remembered);
                self.reports_until = Some(now.boot.plus(self.part.ttl));
            }
            // A conductor has the whole picture from before.
            Input::Reconnected if self.conducts() => {}
            Input::Reconnected => self.reports_until = Some(now.boot.plus(self.part.ttl)),
            Input::Waiting(waiting) => self.seat.waiting = waiting,
            Input::Restored => return self.forget_all(now),
            Input::Ttl(ttl) => {
                self.part.ttl = ttl;
                self.group.set_ttl(ttl);
            }
            Input::Wakeup => {}
        }
        self.turn(now)
    }

    /// Does what is due by all that is known.
    pub(super) fn turn(&mut self, now: Moment) -> Vec<Effect> {
        match self.phase {
            Phase::Bystander if self.is_eligible() => self.seek_seat(now),
            Phase::Bystander if self.tenure.is_some() && self.has_seat() => self.resign_seat(),
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

    pub(super) fn is_eligible(&self) -> bool {
        self.tenure.is_some() && self.remembered.is_some() && !self.blind && !self.barred
    }

    /// A key changed. `Some`: the effects, and nothing else has to be decided.
    fn changed(&mut self, key: &GroupKey, entry: &KeyState, now: Moment) -> Option<Vec<Effect>> {
        if *key == GroupKey::Conductor {
            return self.seat_changed(entry);
        }
        self.take_in(key, entry, now.boot);
        if self.conducts() && entry.value == Some(Value::Later) {
            self.barred = true;
            return Some(self.resign());
        }
        if self.conducts() && self.is_exceeded(key) {
            return Some(self.take_over_anew());
        }
        None
    }

    /// Whether a host knows of a later epoch than ours. After a restore it may report late what it gave back in the lost
    /// history, and each permit of ours would count as given back by it.
    fn is_exceeded(&self, key: &GroupKey) -> bool {
        let GroupKey::Host(host) = key else { return false };
        let record = self.group.members.get(host).and_then(|member| member.keys.record.as_deref());
        record.is_some_and(|record| record.epoch() > self.rollout.epoch)
    }

    /// Records the value of a key, unless a later one is known.
    pub(super) fn take_in(&mut self, key: &GroupKey, entry: &KeyState, now: BootTime) {
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

    pub(super) fn commit(&mut self, transaction: Transaction) -> Effect {
        self.ticket += 1;
        Effect::Commit(self.ticket, transaction)
    }
}
