//! A member of a group: keeps its host's record, asks, claims before each start, gives back. Pure.
//!
//! At most one transaction is under way. What the record is to say is kept beside what the store holds; whatever
//! differs is written with the next transaction, so that a return and the next ask are one write.

mod register;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use self::register::Registration;
use super::conduct::Moment;
use super::record::{BehindWhy, HostRecord, HostState, Instance, Last, LastOutcome, Permit, Rest};
use super::terms::Terms;
use super::{
    BootTime, Entry, FRESH, GroupKey, HostName, Identity, Outcome, PermitId, Revision, StateId, TenureId,
    Transaction, Value, Write,
};

/// A host asks at most once in so long.
const ASKS: Duration = Duration::from_secs(1);

/// Who is a member of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Our host.
    pub host: HostName,
    /// Our start.
    pub inst: Instance,
    /// The machine, for people.
    pub machine: String,
    /// The former start of this daemon, and its tenure, where the ledger remembers one.
    pub former: Option<TenureId>,
    /// Our `[watch.fleet]`.
    pub terms: Arc<Terms>,
    /// What we watch: key, type and the store's prefix.
    pub target: Arc<str>,
    /// What makes its states equal.
    pub identity: Identity,
    /// After so long a run of ours has ended.
    pub limit: Duration,
    /// A tenure that is not renewed ends after so long.
    pub ttl: Duration,
}

/// What a member is told: by the store, and by its watch's policy machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Answers [`Effect::OpenTenure`].
    Tenure(TenureId),
    /// Our tenure is over, or nobody knows.
    TenureLost,
    /// Answers [`Effect::Revoke`].
    Revoked,
    /// Answers the [`Effect::Commit`] with this number.
    Committed(u64, Outcome),
    /// Answers [`Effect::ReadOwn`], and comes once in each `verify_interval` besides.
    Own(Own),
    /// The store was restored from a backup: revisions may be lower than those that are known.
    Restored,
    /// The watch shows our permit. May come late, twice, or not at all.
    Permit(Entry),
    /// The terms were changed in the file.
    Terms(Arc<Terms>),
    /// A state was applied without a permit: by the ledger, by an unlimited watch.
    Applied(StateId),
    /// The watch is behind with a state, and does not ask.
    Behind(Option<StateId>, BehindWhy),
    /// The watch wants to start an action with this state.
    Ask {
        /// Which.
        state: StateId,
        /// It runs an older state under a permit, which it will exchange.
        swap: bool,
        /// The ask may wait for so long at most, so that not all hosts ask at once.
        within: Duration,
    },
    /// It does not want to any more.
    Withdraw,
    /// The action is about to be started: answered by [`Effect::Claimed`] or [`Effect::Refused`].
    Claim {
        /// Under which permit.
        permit: PermitId,
        /// 1, 2, …
        attempt: u32,
    },
    /// A run ended.
    Ended {
        /// The permit under which it was started.
        permit: PermitId,
        /// The state that it was given.
        state: StateId,
        /// How.
        last: Last,
        /// What becomes of the permit.
        then: Then,
    },
    /// The permit is not needed any more: unused, after its hold, after its deadline.
    Return {
        /// Which.
        permit: PermitId,
        /// It ends in failure: the deadline has passed.
        failed: bool,
    },
    /// The daemon stops: nothing runs any more.
    Stop,
    /// The watch was removed.
    Leave,
    /// A deadline has come.
    Wakeup,
}

/// What becomes of a permit after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is given back.
    Return,
    /// It is kept for the next attempt.
    Retry,
    /// It is kept for a while after success.
    Hold,
}

/// The keys of our host, read linearizably.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// `hosts/HOST`.
    pub record: Entry,
    /// `alive/HOST`.
    pub alive: Entry,
    /// `permits/HOST`.
    pub permit: Entry,
    /// The revision of `control`.
    pub control: Revision,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an effect that is not performed leaves a host without a record or a permit without an owner"]
pub enum Effect {
    /// Open a tenure; answered by [`Input::Tenure`].
    OpenTenure,
    /// End a tenure; answered by [`Input::Revoked`].
    Revoke(TenureId),
    /// Read our keys; answered by [`Input::Own`].
    ReadOwn,
    /// Send a transaction; answered by [`Input::Committed`] with the same number.
    Commit(u64, Transaction),
    /// To the policy machine: the host may act.
    Permit(Arc<Permit>),
    /// To the policy machine: the start may happen until then.
    Claimed {
        /// Under which permit.
        permit: PermitId,
        /// Not later.
        fresh_until: BootTime,
    },
    /// To the policy machine: no start now. [`Effect::Permit`] comes again when the permit can be claimed.
    Refused(PermitId),
    /// To the policy machine: the permit is gone. What runs goes on; nothing starts under it.
    PermitLost(PermitId),
    /// Our name is another daemon's, or is not any more.
    Conflict(bool),
}

/// A transaction that is under way.
#[derive(Debug, Clone, PartialEq)]
enum Pending {
    Register,
    Twin,
    Write(Box<HostRecord>),
    Claim { permit: PermitId, record: Box<HostRecord>, sent: BootTime },
    Leave,
}

/// The machine.
#[derive(Debug)]
pub struct Member {
    profile: Profile,
    registration: Registration,
    /// What the record is to say.
    record: HostRecord,
    /// What the store holds, and at which revision.
    written: (Revision, Option<Arc<HostRecord>>),
    ticket: u64,
    pending: Option<(u64, Pending)>,
    /// Our keys are being read: whatever was under way is doubtful.
    reading: bool,
    doubt: Option<Pending>,
    permit: Option<Arc<Permit>>,
    permit_at: Revision,
    /// The permit that the policy machine knows of.
    offered: Option<PermitId>,
    /// The permit under which something runs, or may be started again, also after it is gone.
    acting: Option<PermitId>,
    /// The offered permit whose claim was refused, at the revision that it had: only a rewritten one is tried again.
    refused: Option<(PermitId, Revision)>,
    claim: Option<(PermitId, u32)>,
    asked: Option<StateId>,
    /// The policy machine has said what it wants; before, a permit from before our start is kept.
    spoken: bool,
    write_at: Option<BootTime>,
    asked_at: Option<BootTime>,
    leaving: Option<bool>,
    /// The record that goes with the registration under way.
    registering: Option<Arc<HostRecord>>,
    /// We are known as a twin since then.
    twin_at: Option<BootTime>,
}

impl Member {
    /// A member that is not registered yet. `applied`: what the ledger says.
    pub fn new(profile: Profile, applied: Option<StateId>, now: Timestamp) -> (Self, Vec<Effect>) {
        let record = HostRecord {
            inst: profile.inst.clone(),
            machine: profile.machine.clone(),
            state: if applied.is_some() { HostState::Converged } else { HostState::Behind },
            why: None,
            seen: applied,
            applied,
            permit: None,
            back: None,
            swap: false,
            since: now,
            limit: profile.limit,
            attempt: 0,
            failures: 0,
            last: None,
            terms: Arc::clone(&profile.terms),
            target: Arc::clone(&profile.target),
            rest: Rest::default(),
        };
        let member = Self {
            profile,
            registration: Registration::Opening,
            record,
            written: (Revision::ABSENT, None),
            ticket: 0,
            pending: None,
            reading: true,
            doubt: None,
            permit: None,
            permit_at: Revision::ABSENT,
            offered: None,
            acting: None,
            refused: None,
            claim: None,
            asked: None,
            spoken: false,
            write_at: None,
            asked_at: None,
            leaving: None,
            registering: None,
            twin_at: None,
        };
        (member, vec![Effect::OpenTenure, Effect::ReadOwn])
    }

    /// A run of the former daemon goes on under this permit: its end will be told as if we had started it.
    pub fn adopt(&mut self, permit: PermitId, state: StateId, attempt: u32) {
        self.record.state = HostState::Running;
        self.record.permit = Some(permit);
        self.record.seen = Some(state);
        self.record.attempt = attempt;
        self.offered = Some(permit);
        self.acting = Some(permit);
        self.spoken = true;
    }

    /// What the record says, or is about to say.
    pub fn record(&self) -> &HostRecord {
        &self.record
    }

    /// Whether the host is registered.
    pub fn is_registered(&self) -> bool {
        matches!(self.registration, Registration::Registered { .. })
    }

    /// When [`Input::Wakeup`] is due.
    pub fn deadline(&self) -> Option<BootTime> {
        if self.pending.is_some() || self.reading {
            return None;
        }
        self.registration.deadline().or(self.write_at.filter(|_| self.is_registered() && self.is_dirty()))
    }

    /// Handles inputs that came together.
    #[must_use]
    pub fn step(&mut self, inputs: impl IntoIterator<Item = Input>, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        for input in inputs {
            self.take(input, now, &mut effects);
        }
        self.turn(now, &mut effects);
        effects
    }

    fn take(&mut self, input: Input, now: Moment, effects: &mut Vec<Effect>) {
        match input {
            Input::Tenure(tenure) => {
                self.registration = Registration::Trying { tenure, tries: 0, after: None }
            }
            Input::TenureLost => self.lose_tenure(effects),
            Input::Revoked => self.registration.retry(None),
            Input::Committed(ticket, outcome) => self.committed(ticket, outcome, now, effects),
            Input::Own(own) => self.read(&own, now, effects),
            Input::Permit(entry) => {
                if entry.at > self.permit_at {
                    self.see_permit(&entry, now, effects);
                }
            }
            Input::Restored => {
                self.written = (Revision::ABSENT, None);
                self.permit_at = Revision::ABSENT;
                if !self.reading && self.pending.is_none() {
                    self.reading = true;
                    effects.push(Effect::ReadOwn);
                }
            }
            Input::Terms(terms) => self.record.terms = terms,
            Input::Applied(state) => {
                self.record.applied = Some(state);
                self.see(state);
                self.to(HostState::Converged, None, now);
                self.spoken = true;
                self.offer(now, effects);
            }
            Input::Behind(seen, why) => {
                self.asked = None;
                self.record.swap = false;
                if let Some(seen) = seen {
                    self.see(seen);
                }
                self.rest(Some(why), now);
                self.spoken = true;
                self.offer(now, effects);
            }
            Input::Ask { state, swap, within } => self.ask(state, swap, within, now, effects),
            Input::Withdraw => {
                self.asked = None;
                self.record.swap = false;
                self.rest(Some(BehindWhy::Waiting), now);
                self.offer(now, effects);
            }
            Input::Claim { permit, attempt } => {
                // The former claim was too old to start anything: if this one fails, nothing runs.
                if self.record.state == HostState::Running {
                    self.acting = None;
                    self.rest_after(self.record.failures > 0, now);
                }
                self.claim = Some((permit, attempt));
            }
            Input::Ended { permit, state, last, then } => self.ended(permit, state, last, then, now),
            Input::Return { permit, failed } => {
                self.give_back(permit);
                if failed && self.record.applied != self.record.seen {
                    self.record.failures += 1;
                }
                self.rest_after(failed, now);
            }
            Input::Stop | Input::Leave => {
                if let Some(permit) = self.offered.take() {
                    self.give_back(permit);
                }
                self.asked = None;
                self.record.swap = false;
                self.leaving = Some(input == Input::Leave);
                self.to(HostState::Down, None, now);
            }
            Input::Wakeup => {}
        }
    }

    /// Deals with another state: what was tried before was about the former one.
    fn see(&mut self, state: StateId) {
        if self.record.seen != Some(state) {
            self.record.seen = Some(state);
            self.record.attempt = 0;
            self.record.failures = 0;
        }
    }

    fn to(&mut self, state: HostState, why: Option<BehindWhy>, now: Moment) {
        if (self.record.state, self.record.why) != (state, why) {
            self.record.state = state;
            self.record.why = why;
            self.record.since = now.wall;
        }
    }

    /// Nothing is asked for: what runs or is held is still shown.
    fn rest(&mut self, why: Option<BehindWhy>, now: Moment) {
        match self.record.state {
            HostState::Asking
            | HostState::Converged
            | HostState::Behind
            | HostState::Failed
            | HostState::Down => {
                let done = self.record.seen.is_some() && self.record.applied == self.record.seen;
                if done {
                    self.to(HostState::Converged, None, now);
                } else {
                    self.to(HostState::Behind, why, now);
                }
            }
            HostState::Running
            | HostState::Retrying
            | HostState::Hold
            | HostState::Over
            | HostState::Conflict => self.record.why = None,
        }
    }

    fn ask(&mut self, state: StateId, swap: bool, within: Duration, now: Moment, effects: &mut Vec<Effect>) {
        self.spoken = true;
        self.asked = Some(state);
        if swap {
            self.record.swap = true;
            self.see(state);
        } else {
            self.see(state);
            self.record.swap = false;
            self.to(HostState::Asking, None, now);
        }
        let spread = within * u32::try_from(now.chance % 1024).unwrap_or(0) / 1024;
        let earliest = self.asked_at.map_or(now.boot, |at| now.boot.max(at.plus(ASKS)));
        self.write_at = Some(earliest.plus(spread));
        if !swap {
            self.give_back_other_than(state);
        }
        self.offer(now, effects);
    }

    /// A permit for another state than the one that is asked for is of no use, and would be waited for by all.
    fn give_back_other_than(&mut self, state: StateId) {
        let is_other = |permit: &&Arc<Permit>| {
            self.offered == Some(permit.id) && !permit.state.is_same(&state, self.profile.identity)
        };
        if let Some(other) = self.permit.as_ref().filter(is_other).map(|permit| permit.id) {
            self.give_back(other);
        }
    }

    fn ended(&mut self, permit: PermitId, state: StateId, last: Last, then: Then, now: Moment) {
        self.record.last = Some(last);
        self.write_at = None;
        let succeeded = last.outcome == LastOutcome::Succeeded;
        if succeeded {
            self.record.applied = Some(state);
        }
        match then {
            Then::Return => {
                self.give_back(permit);
                if !succeeded && self.record.seen == Some(state) {
                    self.record.failures += 1;
                }
                self.rest_after(!succeeded, now);
            }
            Then::Retry => self.to(HostState::Retrying, None, now),
            Then::Hold => self.to(HostState::Hold, None, now),
        }
    }

    /// Nothing runs any more.
    fn rest_after(&mut self, failed: bool, now: Moment) {
        let done = self.record.seen.is_some() && self.record.applied == self.record.seen;
        let state = if self.asked.is_some() && !done {
            HostState::Asking
        } else if done {
            HostState::Converged
        } else if failed {
            HostState::Failed
        } else {
            HostState::Behind
        };
        self.record.swap = false;
        self.to(state, None, now);
    }

    /// A permit is never used again.
    fn give_back(&mut self, permit: PermitId) {
        self.record.back = self.record.back.max(Some(permit));
        if self.record.permit.is_some_and(|held| held <= permit) {
            self.record.permit = None;
        }
        self.offered = self.offered.filter(|offered| *offered != permit);
        self.acting = self.acting.filter(|acting| *acting != permit);
        self.refused = self.refused.filter(|(refused, _)| *refused != permit);
        self.claim = self.claim.filter(|(claimed, _)| *claimed != permit);
        // A return is never late: others wait for it.
        self.write_at = None;
    }

    fn see_permit(&mut self, entry: &Entry, now: Moment, effects: &mut Vec<Effect>) {
        self.permit_at = entry.at;
        self.permit = match &entry.value {
            Some(Value::Permit(permit)) => Some(Arc::clone(permit)),
            Some(_) | None => None,
        };
        self.offer(now, effects);
    }

    /// Tells the policy machine of the permit that is there, or gives back what nobody asked for.
    fn offer(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let permit = self.permit.clone().filter(|permit| Some(permit.id) > self.record.back);
        let id = permit.as_ref().map(|permit| permit.id);
        let swapped =
            self.record.swap && permit.as_ref().is_some_and(|permit| Some(permit.state) == self.asked);
        if let Some(lost) = self.offered.filter(|offered| Some(*offered) != id && !swapped) {
            self.offered = None;
            self.refused = None;
            self.claim = None;
            effects.push(Effect::PermitLost(lost));
            self.lose_permit(lost, now);
        }
        let Some(permit) = permit else { return };
        if self.offered == Some(permit.id) {
            let rewritten = self.refused.is_some_and(|(id, at)| id == permit.id && at < self.permit_at);
            if rewritten && permit.control.is_some() {
                self.refused = None;
                effects.push(Effect::Permit(permit));
            }
            return;
        }
        let same = |state: Option<StateId>| {
            state.is_some_and(|state| state.is_same(&permit.state, self.profile.identity))
        };
        let retries = permit.retry && self.record.state == HostState::Failed && same(self.record.seen);
        if self.acting == Some(permit.id) {
            // A restored store shows it again: what runs is covered once more.
            self.offered = Some(permit.id);
            self.record.permit = Some(permit.id);
            if self.record.state == HostState::Over {
                self.to(HostState::Running, None, now);
            }
        } else if same(self.asked) || retries {
            self.offered = Some(permit.id);
            effects.push(Effect::Permit(permit));
        } else if self.spoken {
            self.give_back(permit.id);
        }
    }

    /// What runs under a permit that is gone goes on, and is shown as over.
    fn lose_permit(&mut self, lost: PermitId, now: Moment) {
        if self.record.permit != Some(lost) {
            return;
        }
        match self.record.state {
            HostState::Running => self.to(HostState::Over, None, now),
            HostState::Retrying => self.to(HostState::Behind, None, now),
            HostState::Hold => self.to(HostState::Converged, None, now),
            HostState::Converged
            | HostState::Asking
            | HostState::Behind
            | HostState::Failed
            | HostState::Conflict
            | HostState::Over
            | HostState::Down => {}
        }
        self.record.permit = None;
    }

    fn is_dirty(&self) -> bool {
        self.written.1.as_deref() != Some(&self.record)
    }

    fn commit(&mut self, pending: Pending, transaction: Transaction) -> Effect {
        self.ticket += 1;
        self.pending = Some((self.ticket, pending));
        Effect::Commit(self.ticket, transaction)
    }

    fn put(&self, record: &HostRecord) -> Write {
        Write::put(GroupKey::Host(self.profile.host.clone()), Value::Host(Arc::new(record.clone())))
    }

    /// Sends what is to be sent.
    fn turn(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.pending.is_some() || self.reading {
            return;
        }
        let Registration::Registered { alive, tenure } = self.registration else {
            return self.register(now, effects);
        };
        let host = GroupKey::Host(self.profile.host.clone());
        if let Some((permit, attempt)) = self.claim {
            return self.send_claim(permit, attempt, alive, now, effects);
        }
        if let Some(leaves) = self.leaving.filter(|_| !self.is_dirty() || self.leaving == Some(true)) {
            if leaves && self.written.1.is_some() {
                let transaction = Transaction {
                    require: vec![(host.clone(), self.written.0)],
                    write: vec![Write::Delete { key: host }],
                };
                let effect = self.commit(Pending::Leave, transaction);
                effects.push(effect);
            } else {
                self.registration = Registration::Gone;
                effects.push(Effect::Revoke(tenure));
            }
            return;
        }
        if self.is_dirty() && self.write_at.is_none_or(|at| at <= now.boot) {
            if self.record.asks() {
                self.asked_at = Some(now.boot);
            }
            self.write_at = None;
            let record = self.record.clone();
            let transaction =
                Transaction { require: vec![(host, self.written.0)], write: vec![self.put(&record)] };
            let effect = self.commit(Pending::Write(Box::new(record)), transaction);
            effects.push(effect);
        }
    }

    /// The store refuses the claim unless permit, tenure, record and orders are as they were seen.
    fn send_claim(
        &mut self,
        id: PermitId,
        attempt: u32,
        alive: Revision,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        self.claim = None;
        let permit = self.permit.clone().filter(|permit| permit.id == id && Some(id) > self.record.back);
        let Some((permit, control)) =
            permit.and_then(|permit| permit.control.map(|control| (permit, control)))
        else {
            self.refuse(id, effects);
            return;
        };
        let mut record = self.record.clone();
        record.permit = Some(id);
        record.attempt = attempt;
        record.why = None;
        record.seen = Some(permit.state);
        record.swap = false;
        if record.state != HostState::Running {
            record.state = HostState::Running;
            record.since = now.wall;
        }
        let host = &self.profile.host;
        let transaction = Transaction {
            require: vec![
                (GroupKey::Permit(host.clone()), self.permit_at),
                (GroupKey::Alive(host.clone()), alive),
                (GroupKey::Host(host.clone()), self.written.0),
                (GroupKey::Control, control),
            ],
            write: vec![self.put(&record)],
        };
        let pending = Pending::Claim { permit: id, record: Box::new(record), sent: now.boot };
        let effect = self.commit(pending, transaction);
        effects.push(effect);
    }

    /// Nothing starts under the permit as it is. It counts as unclaimed again, so that a pause or an abort takes it
    /// back, unless a former attempt was made under it.
    fn refuse(&mut self, permit: PermitId, effects: &mut Vec<Effect>) {
        self.refused = Some((permit, self.permit_at));
        if self.record.state != HostState::Retrying {
            self.record.permit = self.record.permit.filter(|claimed| *claimed != permit);
        }
        effects.push(Effect::Refused(permit));
    }

    fn committed(&mut self, ticket: u64, outcome: Outcome, now: Moment, effects: &mut Vec<Effect>) {
        let Some((_, pending)) = self.pending.take_if(|(number, _)| *number == ticket) else { return };
        match outcome {
            Outcome::Applied(at) => self.applied(pending, at, now, effects),
            Outcome::Refused | Outcome::Unanswered => {
                self.doubt = Some(pending);
                self.reading = true;
                effects.push(Effect::ReadOwn);
            }
        }
    }

    fn applied(&mut self, pending: Pending, at: Revision, now: Moment, effects: &mut Vec<Effect>) {
        match pending {
            Pending::Register => self.registered(at, effects),
            Pending::Twin => {}
            Pending::Leave => self.written = (at, None),
            Pending::Write(record) => self.written = (at, Some(Arc::from(record))),
            Pending::Claim { permit, record, sent } => self.claimed(permit, *record, sent, at, now, effects),
        }
    }

    /// The claim stands; whether its start is still fresh is judged by who starts.
    fn claimed(
        &mut self,
        permit: PermitId,
        record: HostRecord,
        sent: BootTime,
        at: Revision,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let record = Arc::new(record);
        self.written = (at, Some(Arc::clone(&record)));
        if self.offered != Some(permit) {
            // It was given back or lost meanwhile: nothing was started.
            return;
        }
        self.acting = Some(permit);
        self.record.permit = Some(permit);
        self.record.attempt = record.attempt;
        self.record.seen = record.seen;
        self.record.swap = false;
        self.asked = None;
        self.to(HostState::Running, None, now);
        self.record.since = record.since;
        effects.push(Effect::Claimed { permit, fresh_until: sent.plus(FRESH) });
    }

    /// Our keys as they are: whatever was doubtful is decided.
    fn read(&mut self, own: &Own, now: Moment, effects: &mut Vec<Effect>) {
        if self.pending.is_some() {
            return;
        }
        // A late answer shows less than is known: a permit that seems gone would be taken for lost.
        if own.record.at < self.written.0 || own.permit.at < self.permit_at {
            if self.reading {
                effects.push(Effect::ReadOwn);
            }
            return;
        }
        self.reading = false;
        let before = self.written.0;
        let stored = match &own.record.value {
            Some(Value::Host(record)) => Some(Arc::clone(record)),
            Some(_) | None => None,
        };
        if let Some(stored) = &stored {
            self.take_over(stored, self.ticket == 0);
        }
        let raced = own.record.revision() != before;
        self.written = (own.record.revision(), stored.clone());
        if own.permit.at > self.permit_at {
            self.see_permit(&own.permit, now, effects);
        }
        self.check_tenure(&own.alive, raced, now, effects);
        match self.doubt.take() {
            Some(Pending::Claim { permit, record, sent }) => {
                let applied = own.record.at > before && stored.as_deref() == Some(&*record);
                if applied {
                    self.claimed(permit, *record, sent, own.record.at, now, effects);
                } else if self.offered == Some(permit) {
                    let claimable =
                        self.permit.as_ref().is_some_and(|held| held.control == Some(own.control));
                    if claimable {
                        self.claim = Some((permit, record.attempt));
                    } else {
                        self.refuse(permit, effects);
                    }
                }
            }
            Some(Pending::Register | Pending::Twin | Pending::Write(_) | Pending::Leave) | None => {}
        }
    }

    /// The stored record knows what must not be forgotten: which permits were given back, at times by a write of our
    /// former start that arrived after our own start. `first`: it is that of the former start.
    fn take_over(&mut self, stored: &HostRecord, first: bool) {
        self.record.back = self.record.back.max(stored.back);
        if !first {
            return;
        }
        self.record.rest = stored.rest.clone();
        if stored.seen == self.record.seen {
            self.record.failures = stored.failures;
            self.record.last = stored.last;
        }
    }
}
