//! The machine: its state, and what each input means.

use std::sync::Arc;

use jiff::Timestamp;

use super::input::{Effect, Input, Pending, Profile};
use super::registration::Registration;
use crate::fleet::conduct::Moment;
use crate::fleet::record::{BehindWhy, HostRecord, HostState, Last, Permit, Rest};
use crate::fleet::{BootTime, PermitId, Revision, StateId};

/// The failures of one state, as the former start reported them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Former {
    pub(super) seen: StateId,
    pub(super) failures: u32,
    pub(super) last: Option<Last>,
}

/// The machine.
#[derive(Debug)]
pub struct MemberMachine {
    pub(super) profile: Profile,
    pub(super) registration: Registration,
    /// The desired record.
    pub(super) record: HostRecord,
    /// What the store holds, and at which revision.
    pub(super) written: (Revision, Option<Arc<HostRecord>>),
    pub(super) ticket: u64,
    pub(super) pending: Option<(u64, Pending)>,
    /// Our keys are being read: whatever was under way is doubtful.
    pub(super) reading: bool,
    pub(super) doubt: Option<Pending>,
    pub(super) permit: Option<Arc<Permit>>,
    pub(super) permit_at: Revision,
    /// The permit that the policy machine knows of.
    pub(super) offered: Option<PermitId>,
    /// The permit under which something runs, or may be started again, also after it is gone.
    pub(super) acting: Option<PermitId>,
    /// The offered permit whose claim was refused, at the revision that it had: only a rewritten one is tried again.
    pub(super) refused: Option<(PermitId, Revision)>,
    pub(super) claim: Option<(PermitId, u32)>,
    pub(super) asked: Option<StateId>,
    /// The policy machine has said what it wants; before, a permit from before our start is kept.
    pub(super) spoken: bool,
    pub(super) write_at: Option<BootTime>,
    pub(super) asked_at: Option<BootTime>,
    pub(super) leaving: Option<bool>,
    /// The record that goes with the registration under way.
    pub(super) registering: Option<Arc<HostRecord>>,
    /// Failures that our former start reported, until the watch has shown whether they are of the newest state.
    pub(super) former: Option<Former>,
    /// We are known as a twin since then.
    pub(super) twin_at: Option<BootTime>,
}

impl MemberMachine {
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
            former: None,
            twin_at: None,
        };
        (member, vec![Effect::OpenTenure, Effect::ReadOwn])
    }

    /// Adopts a run of the former daemon under its permit. Its end comes as [`Input::Ended`], like that of a run of ours.
    pub fn adopt(&mut self, permit: PermitId, state: StateId, attempt: u32) {
        self.record.state = HostState::Running;
        self.record.permit = Some(permit);
        // What the ledger records of another state that failed does not count for this one.
        self.see(state);
        self.record.attempt = attempt;
        self.offered = Some(permit);
        self.acting = Some(permit);
        self.spoken = true;
    }

    /// The ledger remembers that the store had our record at this revision. To be called before any input.
    pub fn remember(&mut self, at: Revision) {
        self.written.0 = at;
    }

    /// At which revision the store has a record of our host, as far as we know.
    pub fn held(&self) -> Option<Revision> {
        self.written.1.as_ref().map(|_| self.written.0)
    }

    /// What the record says, or is about to say.
    pub fn record(&self) -> &HostRecord {
        &self.record
    }

    /// Whether the host is registered.
    pub fn is_registered(&self) -> bool {
        matches!(self.registration, Registration::Registered { .. })
    }

    /// The revisions of our record and permit that are known. Reads that begin later show none that is older,
    /// unless the store was restored.
    pub fn known(&self) -> (Revision, Revision) {
        (self.written.0, self.permit_at)
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
                // Also if a read counts as under way: it may be the one that found the restore, whose answer was not
                // passed on.
                if self.pending.is_none() {
                    self.reading = true;
                    effects.push(Effect::ReadOwn);
                }
            }
            Input::Terms(terms) => self.record.terms = terms,
            Input::Ttl(ttl) => self.profile.ttl = ttl,
            Input::Limit(limit) => self.record.limit = limit,
            Input::Applied(state) => {
                self.spoken = true;
                self.record.applied = Some(state);
                self.see(state);
                if self.record.state != HostState::Over {
                    self.to(HostState::Converged, None, now);
                }
                self.offer(now, effects);
            }
            Input::Behind(seen, why) => {
                self.spoken = true;
                self.asked = None;
                self.record.swap = false;
                if let Some(seen) = seen {
                    self.see(seen);
                }
                self.rest(Some(why), now);
                self.offer(now, effects);
            }
            Input::GaveUp(state) => {
                self.spoken = true;
                self.gave_up(state, now);
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
            Input::Unpermitted { state, attempt } => self.start_unpermitted(state, attempt, now, effects),
            Input::UnpermittedEnded { state, last } => self.unpermitted_ended(state, last, now),
            Input::Return { permit, failed } => {
                self.give_back(permit);
                if failed && self.record.applied != self.record.seen {
                    self.record.failures += 1;
                }
                if self.record.state != HostState::Over {
                    self.rest_after(failed, now);
                }
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
}
