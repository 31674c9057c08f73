//! Who conducts: the election, and how a conductor that hangs is replaced.

use std::sync::Arc;

use jiff::Timestamp;

use super::input::{Effect, Moment};
use super::machine::{Conductor, Phase};
use super::seat::{CAMPAIGN, FIRST_CAMPAIGN, fraction, look};
use crate::fleet::record::{ConductorRecord, Rest};
use crate::fleet::view::may_run;
use crate::fleet::{GroupKey, KeyState, Revision, Transaction, Value, Write};

impl Conductor {
    /// The key of the seat changed. `Some`: the effects, and nothing else has to be decided.
    pub(super) fn seat_changed(&mut self, entry: &KeyState) -> Option<Vec<Effect>> {
        if self.seat.entry.as_ref().is_some_and(|known| known.at >= entry.at) {
            return None;
        }
        let known = self.seat.entry.replace(entry.clone());
        // After a restore all hosts see the vacancy at once, so none of them may hurry.
        self.seat.found_vacant = known.is_none() && entry.value.is_none() && self.restored.is_none();
        let mine = self.has_seat();
        self.seat.unheld = (known.is_none() || self.seat.unheld) && (entry.value.is_none() || mine);
        self.seat.campaign_at = None;
        self.seat.beat = None;
        self.seat.look_at = None;
        match self.phase {
            Phase::Bystander if mine && self.is_eligible() => Some(self.take_seat()),
            Phase::Bystander | Phase::Campaigning | Phase::Resigning => None,
            Phase::Reading | Phase::TakingOver(_) | Phase::Checking | Phase::Conducting(_) => {
                (!mine).then(|| self.stand_down())
            }
        }
    }

    /// Whether we have the seat, by its key.
    pub(super) fn has_seat(&self) -> bool {
        match self.seat.entry.as_ref().and_then(|entry| entry.value.as_ref()) {
            Some(Value::Conductor(record)) => record.inst == self.part.inst,
            Some(_) | None => false,
        }
    }

    /// Campaigns for a vacant seat after a random delay; watches the beat of a conductor.
    pub(super) fn seek_seat(&mut self, now: Moment) -> Vec<Effect> {
        if self.has_seat() {
            return self.take_seat();
        }
        if !self.seat.is_vacant() {
            return self.look_after(now);
        }
        let most = if self.seat.found_vacant { FIRST_CAMPAIGN } else { CAMPAIGN };
        let at = *self.seat.campaign_at.get_or_insert(now.boot.plus(fraction(most, now.chance)));
        if at > now.boot {
            return Vec::new();
        }
        self.seat.campaign_at = None;
        // Hurried only once: a refusal says that our tenure has expired or that another host was faster.
        self.seat.found_vacant = false;
        let record = self.own_seat(now.wall);
        self.phase = Phase::Campaigning;
        let transaction = Transaction {
            require: vec![(GroupKey::Conductor, Revision::ABSENT)],
            write: vec![Write::Put { key: GroupKey::Conductor, value: record, tenure: self.tenure }],
        };
        vec![self.commit(transaction)]
    }

    fn look_after(&mut self, now: Moment) -> Vec<Effect> {
        if self.seat.entry.is_none() {
            return Vec::new();
        }
        let at = *self.seat.look_at.get_or_insert(now.boot.plus(look(now, self.part.ttl)));
        if at > now.boot {
            return Vec::new();
        }
        self.seat.look_at = None;
        vec![Effect::ReadSummary]
    }

    /// The beat stands still: if a host waits, the holder is deposed.
    pub(super) fn depose(&mut self, entries: &[(GroupKey, KeyState)]) -> Vec<Effect> {
        let waits = |(_, entry): &(GroupKey, KeyState)| match &entry.value {
            Some(Value::Host(record)) => record.asks() || may_run(record.state) || record.permit.is_some(),
            Some(Value::Permit(_)) => true,
            Some(Value::Rollout(rollout)) => rollout.id != self.target,
            Some(
                Value::Alive(_)
                | Value::Twin(_)
                | Value::Summary(_)
                | Value::Conductor(_)
                | Value::Control(_)
                | Value::Later
                | Value::Unreadable,
            )
            | None => false,
        };
        if self.seat.is_vacant() || !entries.iter().any(waits) {
            return Vec::new();
        }
        vec![self.vacate()]
    }

    /// Deletes the key of the seat as it is known.
    fn vacate(&mut self) -> Effect {
        self.commit(Transaction {
            require: vec![(GroupKey::Conductor, self.seat.revision())],
            write: vec![Write::Delete { key: GroupKey::Conductor }],
        })
    }

    /// The value of the seat's key while we have it.
    fn own_seat(&self, since: Timestamp) -> Value {
        let (host, inst) = (self.part.host.clone(), self.part.inst.clone());
        Value::Conductor(Arc::new(ConductorRecord { host, inst, since, rest: Rest::default() }))
    }

    /// Our campaign has won the seat at this revision. The news that it is lost again may have come before.
    pub(super) fn won(&mut self, at: Revision, now: Moment) -> Vec<Effect> {
        if self.seat.entry.as_ref().is_none_or(|known| known.at < at) {
            self.seat.entry = Some(KeyState { at, value: Some(self.own_seat(Timestamp::UNIX_EPOCH)) });
        }
        if self.has_seat() { self.take_seat() } else { self.turn(now) }
    }

    fn take_seat(&mut self) -> Vec<Effect> {
        let mut effects = vec![Effect::Mirror(true)];
        effects.extend(self.take_over_anew());
        effects
    }

    /// Another host has the seat, or our tenure is lost and the seat with it.
    pub(super) fn stand_down(&mut self) -> Vec<Effect> {
        let mirrored = self.mirrors();
        self.phase = Phase::Bystander;
        self.seat.campaign_at = None;
        if mirrored { vec![Effect::Mirror(false)] } else { Vec::new() }
    }

    /// Gives the seat up while our tenure lasts.
    pub(super) fn resign(&mut self) -> Vec<Effect> {
        if !self.mirrors() {
            return Vec::new();
        }
        let mut effects = self.stand_down();
        effects.extend(self.resign_seat());
        effects
    }

    pub(super) fn resign_seat(&mut self) -> Vec<Effect> {
        self.phase = Phase::Resigning;
        vec![self.vacate()]
    }

    fn mirrors(&self) -> bool {
        match self.phase {
            Phase::Reading | Phase::TakingOver(_) | Phase::Checking | Phase::Conducting(_) => true,
            Phase::Bystander | Phase::Campaigning | Phase::Resigning => false,
        }
    }
}
