//! The next transaction of a conductor: returns, reclaims, stamps, grants, and what is written about them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::group::Place;
use super::waves::Wave;
use super::{Conductor, Effect, Moment, Phase};
use crate::fleet::record::{
    Failure, FailureKind, NAMED, Permit, Rest, Rollout, RolloutState, SILENT_NAMED, Summary,
};
use crate::fleet::view::{Want, may_run};
use crate::fleet::{
    BootTime, Entry, GroupKey, HostName, PermitId, Revision, StateId, Transaction, Value, Write,
};

/// Permits that one transaction changes.
const BATCH: usize = 32;

/// `summary` is written at most once in so long.
const SUMMARY: Duration = Duration::from_secs(2);

/// A transaction, and what it means once it is applied.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Plan {
    transaction: Transaction,
    /// Hosts whose permit is touched.
    hosts: BTreeSet<HostName>,
    rollout: Option<Arc<Rollout>>,
    summary: Option<Arc<Summary>>,
    /// Hosts whose run must have ended.
    released: Vec<HostName>,
    /// The `control` that it was planned by must still hold.
    controlled: bool,
}

impl Plan {
    fn room(&self) -> usize {
        BATCH.saturating_sub(self.hosts.len())
    }

    fn require(&mut self, key: GroupKey, at: Revision) {
        self.transaction.require.push((key, at));
    }

    fn delete(&mut self, host: &HostName, at: Revision) {
        self.require(GroupKey::Permit(host.clone()), at);
        self.transaction.write.push(Write::Delete { key: GroupKey::Permit(host.clone()) });
        self.hosts.insert(host.clone());
    }

    fn put(&mut self, host: &HostName, at: Revision, permit: Permit) {
        self.require(GroupKey::Permit(host.clone()), at);
        self.transaction
            .write
            .push(Write::put(GroupKey::Permit(host.clone()), Value::Permit(Arc::new(permit))));
        self.hosts.insert(host.clone());
        self.controlled = true;
    }
}

/// What is to become of a permit after `control` or the rollout's state changed.
enum Stamp {
    Keep,
    /// Nothing was started under it, and nothing may.
    TakeBack,
    /// What runs goes on; nothing starts under it.
    Suspend,
    /// It may be claimed under the newest `control`.
    Renew,
}

impl Conductor {
    /// Does whatever is due; one transaction at a time.
    pub(super) fn conduct(&mut self, now: Moment) -> Vec<Effect> {
        self.hold_until = self.hold_until.filter(|until| *until > now.boot);
        self.release_unheld(now.boot);
        self.advance(now);
        let mut plan = Plan::default();
        self.return_permits(&mut plan);
        self.reclaim(&mut plan, now);
        let stamped = self.stamp(&mut plan);
        // A stop is written only when nothing can start any more.
        if stamped {
            let granted = self.grant(&mut plan, now.boot);
            self.write_rollout(&mut plan, granted);
        }
        self.write_summary(&mut plan, now);
        if plan.transaction.write.is_empty() {
            return Vec::new();
        }
        plan.require(GroupKey::Rollout, self.fence);
        if plan.controlled {
            plan.require(GroupKey::Control, self.orders.at);
        }
        let transaction = plan.transaction.clone();
        self.phase = Phase::Conducting(Some(Box::new(plan)));
        vec![self.commit(transaction)]
    }

    /// The transaction is applied at this revision.
    pub(super) fn applied(&mut self, plan: Plan, at: Revision, now: Moment) {
        for write in plan.transaction.write {
            let (key, value) = match write {
                Write::Put { key, value, .. } => (key, Some(value)),
                Write::Delete { key } => (key, None),
            };
            self.take_in(&key, &Entry { at, value }, now.boot);
        }
        for host in plan.released {
            self.group.release(&host, now.boot);
        }
        if let Some(rollout) = plan.rollout {
            self.fence = at;
            self.rollout = (*rollout).clone();
        }
        if let Some(summary) = plan.summary {
            self.summary = Some(summary);
            self.summary_at = Some(now.boot);
        }
    }

    fn return_permits(&self, plan: &mut Plan) {
        for host in self.group.returned.iter().take(BATCH) {
            if let Some(member) = self.group.members.get(host) {
                plan.delete(host, member.permit_at);
            }
        }
    }

    /// When a suspect's run must have ended. `None`: it is no suspect.
    fn bound(&self, host: &HostName) -> Option<BootTime> {
        let member = self.group.members.get(host)?;
        Some(member.silent_since?.plus(self.group.limit(member)))
    }

    /// Suspects without a permit: nothing is to be written about them, they just stop counting.
    fn release_unheld(&mut self, now: BootTime) {
        if self.group.silence.is_mass() {
            return;
        }
        let due = |host: &&HostName| {
            let member = self.group.members.get(*host);
            let runs = |member: &&super::group::Member| {
                member.keys.permit.is_none()
                    && member.keys.record.as_deref().is_some_and(|r| may_run(r.state))
            };
            member.as_ref().is_some_and(runs) && self.bound(host).is_some_and(|bound| bound <= now)
        };
        let released: Vec<HostName> = self.group.suspects.iter().filter(due).cloned().collect();
        for host in released {
            self.group.release(&host, now);
        }
    }

    /// Permits of suspects whose runs must have ended are free again, and their holders are lost.
    fn reclaim(&mut self, plan: &mut Plan, now: Moment) {
        if self.group.silence.is_mass() {
            return;
        }
        let suspects: Vec<HostName> = self.group.suspects.iter().cloned().collect();
        for host in suspects {
            if plan.room() == 0 || self.bound(&host).is_none_or(|bound| bound > now.boot) {
                continue;
            }
            let Some(member) = self.group.members.get(&host).filter(|_| !plan.hosts.contains(&host)) else {
                continue;
            };
            let record_at = member.record_revision();
            let permit = member.keys.permit.clone();
            let done = member.standing().is_some_and(|standing| standing.done);
            let attempt = member.keys.record.as_deref().map_or(0, |record| record.attempt);
            if permit.is_some() {
                plan.delete(&host, member.permit_at);
                plan.require(GroupKey::Host(host.clone()), record_at);
                plan.released.push(host.clone());
            }
            let of_this = permit.as_ref().is_none_or(|permit| self.is_current(permit.state));
            // After success its tenure alone is no proof against the version, unless a wave is to prove it.
            if of_this && (permit.is_some() || done) && !self.draft.failures.iter().any(|f| f.host == host) {
                let failure = Failure {
                    host: host.clone(),
                    outcome: FailureKind::Lost,
                    exit_code: None,
                    attempt,
                    at: now.wall,
                };
                if self.draft.failures.len() < NAMED {
                    self.draft.failures.push(failure);
                    self.group.set_lost(&host, true, now.boot);
                } else {
                    self.draft.more_lost += 1;
                }
            }
        }
    }

    fn is_current(&self, state: StateId) -> bool {
        self.draft.id.is_some_and(|id| id.is_same(&state, self.part.identity))
    }

    /// Stamps of held permits follow `control` and the rollout. Returns whether all do after this transaction.
    fn stamp(&mut self, plan: &mut Plan) -> bool {
        if !self.restamp {
            return true;
        }
        for host in &self.group.holders {
            let Some(member) = self.group.members.get(host).filter(|_| !plan.hosts.contains(host)) else {
                continue;
            };
            let Some(permit) = member.keys.permit.as_deref() else { continue };
            let stamp = self.stamp_of(host, permit, member.has_claimed());
            if plan.room() == 0 && !matches!(stamp, Stamp::Keep) {
                return false;
            }
            match stamp {
                Stamp::Keep => {}
                Stamp::TakeBack => {
                    plan.delete(host, member.permit_at);
                    plan.require(GroupKey::Host(host.clone()), member.record_revision());
                }
                Stamp::Suspend => {
                    plan.put(host, member.permit_at, Permit { control: None, ..permit.clone() });
                }
                Stamp::Renew => {
                    plan.put(
                        host,
                        member.permit_at,
                        Permit { control: Some(self.orders.at), ..permit.clone() },
                    );
                }
            }
        }
        self.restamp = false;
        true
    }

    fn stamp_of(&self, host: &HostName, permit: &Permit, claimed: bool) -> Stamp {
        let forbidden = self.orders.pauses() || self.orders.aborts(Some(permit.state));
        let stopped = self.draft.state == RolloutState::Stopped && self.is_current(permit.state);
        let retries = permit.retry && Some(permit.id) > self.draft.retried.before && self.is_listed(host);
        let retries = retries && self.draft.retried.before.is_some();
        match (forbidden, stopped && !retries, claimed) {
            (true, _, false) | (_, true, false) => Stamp::TakeBack,
            // `control` has changed since it was stamped, so that no claim of it succeeds.
            (true, _, true) if permit.control != Some(self.orders.at) => Stamp::Keep,
            (true, _, true) | (_, true, true) if permit.control.is_some() => Stamp::Suspend,
            (true, _, true) | (_, true, true) => Stamp::Keep,
            (false, false, _) if permit.control == Some(self.orders.at) => Stamp::Keep,
            (false, false, _) => Stamp::Renew,
        }
    }

    fn is_listed(&self, host: &HostName) -> bool {
        let listed = self.orders.control.retry.as_ref().map(|order| &order.hosts);
        listed.is_some_and(|hosts| hosts.is_empty() || hosts.contains(host))
    }

    /// Grants what may be granted. Returns whether it granted anything.
    fn grant(&mut self, plan: &mut Plan, now: BootTime) -> bool {
        let Some(state) = self.draft.id.filter(|_| self.is_limited()) else { return false };
        let held_back = self.hold_until.is_some_and(|until| until > now);
        if held_back || self.orders.pauses() || self.group.silence.is_mass() {
            return false;
        }
        let retries_only = match self.draft.state {
            RolloutState::Rolling | RolloutState::Done => false,
            RolloutState::Stopped => true,
            RolloutState::Idle | RolloutState::Soaking | RolloutState::Aborted => return false,
        };
        let (failing, stop) = self.failures();
        let suspects = u32::try_from(self.group.suspects.len()).unwrap_or(u32::MAX);
        if !retries_only && failing.saturating_add(suspects) >= stop {
            return false;
        }
        let limit = Self::limit_of(&self.draft);
        let target = match self.wave() {
            Wave::Canaries | Wave::All => u32::MAX,
            Wave::Hosts(hosts) => hosts,
        };
        let canaries_only = self.wave() == Wave::Canaries;
        let (mut occupied, mut covered) = (self.group.sums.occupied, self.group.sums.covered);
        let mut chosen: Vec<Place> = Vec::new();
        for place in &self.group.queue {
            if chosen.len() >= plan.room() || occupied > limit {
                break;
            }
            if plan.hosts.contains(&place.host)
                || canaries_only && !place.canary
                || retries_only && place.want != Want::Retry
            {
                if canaries_only && !place.canary && place.want != Want::Swap {
                    break;
                }
                continue;
            }
            match place.want {
                Want::Swap if covered <= target => chosen.push(place.clone()),
                Want::Swap => {}
                Want::Asked | Want::Forgiven | Want::Retry if occupied < limit && covered < target => {
                    occupied += 1;
                    covered += 1;
                    chosen.push(place.clone());
                }
                Want::Asked | Want::Forgiven | Want::Retry => break,
            }
        }
        let granted = !chosen.is_empty();
        for place in chosen {
            self.grant_one(plan, &place, state);
        }
        granted
    }

    fn grant_one(&mut self, plan: &mut Plan, place: &Place, state: StateId) {
        let Some(member) = self.group.members.get(&place.host) else { return };
        let (at, retry) = match place.want {
            Want::Swap => (member.permit_at, false),
            Want::Asked => (Revision::ABSENT, false),
            Want::Forgiven | Want::Retry => (Revision::ABSENT, true),
        };
        self.issued += 1;
        let terms = self.terms();
        let permit = Permit {
            id: PermitId { epoch: self.draft.epoch, number: self.issued },
            state,
            control: Some(self.orders.at),
            retry,
            hold: (!terms.hold.is_zero()).then_some(terms.hold),
            deadline: Some(terms.deadline),
            rest: Rest::default(),
        };
        plan.put(&place.host, at, permit);
    }

    /// The base alone is worth a write only where the limit or the size of the wave follows from it.
    fn write_rollout(&self, plan: &mut Plan, granted: bool) {
        let same = Rollout { base: self.rollout.base, ..self.draft.clone() } == self.rollout;
        let limits = granted
            && (Self::limit_of(&self.draft) != Self::limit_of(&self.rollout)
                || self.wave() != Self::wave_of(&self.rollout));
        if same && !limits {
            return;
        }
        let rollout = Arc::new(self.draft.clone());
        plan.transaction.write.push(Write::put(GroupKey::Rollout, Value::Rollout(Arc::clone(&rollout))));
        plan.rollout = Some(rollout);
    }

    fn write_summary(&mut self, plan: &mut Plan, now: Moment) {
        let beat = self.summary.as_ref().map_or(0, |summary| summary.beat);
        let mut next = self.summarise(beat, now);
        let known = self.summary.as_deref();
        let changed = known.is_none_or(|known| {
            let silent = known.silent.keys().eq(next.silent.keys());
            !silent || Summary { silent: known.silent.clone(), ..next.clone() } != *known
        });
        let age = self.summary_at.map(|at| now.boot.since(at));
        let due = match age {
            None => true,
            Some(age) => changed && age >= SUMMARY || self.is_busy() && age >= self.part.ttl,
        };
        self.summary_stale = changed && !due;
        if !due {
            return;
        }
        next.beat += 1;
        if let Some(known) = known {
            for (host, since) in &mut next.silent {
                *since = known.silent.get(host).copied().unwrap_or(*since);
            }
        }
        let next = Arc::new(next);
        plan.transaction.write.push(Write::put(GroupKey::Summary, Value::Summary(Arc::clone(&next))));
        plan.summary = Some(next);
    }

    /// Somebody waits or acts: the beat has to show that we work.
    fn is_busy(&self) -> bool {
        self.group.sums.counts.asking > 0 || !self.group.holders.is_empty()
    }

    fn summarise(&self, beat: u64, now: Moment) -> Summary {
        Summary {
            id: self.draft.id,
            hosts: self.group.sums.counts,
            held: u32::try_from(self.group.holders.len()).unwrap_or(u32::MAX),
            limit: self.is_limited().then(|| Self::limit_of(&self.draft)),
            silent: self
                .group
                .silent
                .iter()
                .take(SILENT_NAMED)
                .map(|host| (host.clone(), now.wall))
                .collect(),
            disagree: self.group.disagree(),
            why: self.why(now.boot),
            beat,
            rest: Rest::default(),
        }
    }

    /// What holds the rollout up, where the state alone does not say it.
    fn why(&self, now: BootTime) -> Option<String> {
        let sums = self.group.sums;
        let (failing, stop) = self.failures();
        self.draft.id?;
        if self.orders.unreadable {
            return Some(
                "control cannot be read, which counts as a pause; the next order replaces it".to_owned(),
            );
        }
        if self.group.silence.is_mass() {
            return Some(
                "many hosts fell silent at once: nothing starts until half of them are back".to_owned(),
            );
        }
        if self.hold_until.is_some_and(|until| until > now) {
            return Some("the store was restored: nothing starts until every run must have ended".to_owned());
        }
        match self.draft.state {
            RolloutState::Rolling if self.wave() == Wave::Canaries && sums.canaries == 0 => {
                Some("no canary is alive: nothing starts".to_owned())
            }
            RolloutState::Rolling
                if self.wave() == Wave::Canaries && sums.failing > 0 && sums.occupied == 0 =>
            {
                Some("a canary failed: nothing starts".to_owned())
            }
            RolloutState::Rolling
                if failing < stop && !self.group.suspects.is_empty() && sums.counts.asking > 0 =>
            {
                let host = self.group.suspects.first().map(ToString::to_string).unwrap_or_default();
                Some(format!("{host} is silent and may still run: it counts as failed until it is back"))
            }
            RolloutState::Stopped => Some(format!("{failing} failed or lost, and {stop} stop the rollout")),
            RolloutState::Idle
            | RolloutState::Rolling
            | RolloutState::Soaking
            | RolloutState::Aborted
            | RolloutState::Done => None,
        }
    }

    /// When something is due though nothing happens.
    pub(super) fn next_turn(&self) -> Option<BootTime> {
        let bounds = self.group.suspects.iter().filter_map(|host| self.bound(host)).min();
        let bounds = bounds.filter(|_| !self.group.silence.is_mass());
        let summary = self.summary_at.and_then(|at| {
            let busy = self.is_busy().then(|| at.plus(self.part.ttl));
            if self.summary_stale { Some(at.plus(SUMMARY)) } else { busy }
        });
        let set = self.orders.control.set.as_ref().and_then(|set| set.lasts).zip(self.set_since);
        let set = set.map(|(lasts, (_, since))| since.plus(lasts)).filter(|_| self.is_set);
        [bounds, self.soaked_at(), summary, set, self.hold_until].into_iter().flatten().min()
    }
}
