//! The next transaction of a conductor: returns, reclaims, stamps, grants.

use std::time::Duration;

use super::group::{Member, QueuePlace};
use super::input::{Effect, Moment};
use super::machine::{Conductor, Phase};
use super::plan::{BATCH, Plan};
use super::waves::Wave;
use crate::fleet::record::{FailureKind, HostFailure, NAMED, Permit, Rest, RolloutState};
use crate::fleet::view::{Want, may_run};
use crate::fleet::{BootTime, GroupKey, HostName, KeyState, PermitId, Revision, StateId, Write};

/// What happens to a permit after `control` or the rollout's state changed.
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
    /// Sends the next transaction, if one is due.
    pub(super) fn conduct(&mut self, now: Moment) -> Vec<Effect> {
        self.hold_back(now.boot);
        self.release_unheld(now.boot);
        self.advance(now);
        if self.lacks_control() {
            self.made_control = true;
            return vec![self.send(Plan::of_empty_control())];
        }
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
        vec![self.send(plan)]
    }

    fn send(&mut self, plan: Plan) -> Effect {
        let transaction = plan.transaction.clone();
        self.phase = Phase::Conducting(Some(Box::new(plan)));
        self.commit(transaction)
    }

    /// Whether permits would require that there is no `control`. A conductor that may not write it tries once a takeover.
    fn lacks_control(&self) -> bool {
        !self.made_control
            && self.orders.at == Revision::ABSENT
            && self.draft.id.is_some()
            && self.is_limited()
    }

    /// After a restore nothing is granted until every run must have ended, and after a time without a conductor until
    /// hosts have reported what they run. Computed anew each time, because the longest
    /// limit is known only when all hosts have written their records again.
    fn hold_back(&mut self, now: BootTime) {
        let limits =
            self.group.members.values().filter_map(|member| Some(member.keys.record.as_deref()?.limit));
        let ended = self.restored.map(|since| since.plus(limits.fold(self.part.ttl, Duration::max)));
        self.hold_until = ended.max(self.reports_until).filter(|until| *until > now);
        if self.hold_until.is_none() {
            (self.restored, self.reports_until) = (None, None);
        }
    }

    /// The transaction is applied at this revision.
    pub(super) fn applied(&mut self, plan: Plan, at: Revision, now: Moment) {
        for write in plan.transaction.write {
            let (key, value) = match write {
                Write::Put { key, value, .. } => (key, Some(value)),
                Write::Delete { key } => (key, None),
            };
            self.take_in(&key, &KeyState { at, value }, now.boot);
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
    pub(super) fn bound(&self, host: &HostName) -> Option<BootTime> {
        let member = self.group.members.get(host)?;
        Some(member.silent_since?.plus(self.group.limit(member)))
    }

    /// Suspects without a permit: nothing is written for them, they only stop counting.
    fn release_unheld(&mut self, now: BootTime) {
        if self.group.silence.is_mass() {
            return;
        }
        let due = |host: &&HostName| {
            let member = self.group.members.get(*host);
            let runs = |member: &&Member| {
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
                let failure = HostFailure {
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
        let newest = PermitId { epoch: self.draft.epoch, number: self.issued };
        let (mut occupied, mut covered) = (self.group.sums.occupied, self.group.sums.covered);
        let mut chosen: Vec<QueuePlace> = Vec::new();
        for place in &self.group.queue {
            if chosen.len() >= plan.room() || occupied > limit {
                break;
            }
            if plan.hosts.contains(&place.host)
                || self.gave_back_after(&place.host, newest)
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

    /// Whether a host says that it has given back a permit that was never granted: only a forged one is above the newest
    /// epoch, and whatever were granted would count as given back.
    fn gave_back_after(&self, host: &HostName, newest: PermitId) -> bool {
        let record = self.group.members.get(host).and_then(|member| member.keys.record.as_deref());
        record.is_some_and(|record| record.back > Some(newest))
    }

    fn grant_one(&mut self, plan: &mut Plan, place: &QueuePlace, state: StateId) {
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
}
