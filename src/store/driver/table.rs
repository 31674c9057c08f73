//! All targets of a store: their subscribers, which are due for verification or a retry, and which the session has not
//! answered yet. Pure: time is an argument, and requests to the session are return values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::target::{Subscriber, SubscriberId, Wanted, WatchedTarget};
use crate::store::StoreError;
use crate::store::session::{Arm, Proof, Reading, TargetId};
use crate::watch::Seq;

/// A session with outstanding answers that gives none for this long is lost.
const NO_ANSWER: Duration = Duration::from_secs(30);
/// Limit for a single answer while others arrive. One that arrives in parts may take longer, and so may those queued
/// behind it.
const LATE_ANSWER: Duration = Duration::from_mins(5);
/// Targets due within this fraction of their interval are verified together with those due now, so that many targets
/// cause few wake-ups.
const EARLY: u32 = 10;

#[derive(Debug, Default)]
pub(super) struct Table {
    /// Boxed, because the nodes of a `BTreeMap` are half empty.
    targets: BTreeMap<TargetId, Box<WatchedTarget>>,
    shared: BTreeMap<Wanted, TargetId>,
    joined: BTreeMap<SubscriberId, TargetId>,
    due: BTreeSet<(Instant, TargetId)>,
    retries: BTreeSet<(Instant, TargetId)>,
    owed: BTreeMap<TargetId, Instant>,
    owed_since: BTreeSet<(Instant, TargetId)>,
    demands: BTreeMap<TargetId, Demands>,
    /// When the session last answered, completely or in part.
    last_sign: Option<Instant>,
    last_part: Option<Instant>,
    next_target: u64,
    seq: u64,
}

/// Callers waiting for a read of a target.
#[derive(Debug, Default)]
struct Demands {
    /// The read that answers them is in flight.
    asked: Vec<oneshot::Sender<()>>,
    /// They arrived while an older read was in flight.
    later: Vec<oneshot::Sender<()>>,
}

/// The effect of a report.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Observed {
    /// Observed; the subscribers got a new state or not.
    State,
    /// Observed, and the target is no longer refused.
    Recovered(Wanted),
    /// A refusal with another message than the last one.
    NewlyRefused(Wanted),
    /// Nothing to log.
    Nothing,
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    pub(super) fn has(&self, subscriber: SubscriberId) -> bool {
        self.joined.contains_key(&subscriber)
    }

    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// Adds a subscriber; returns the target if it is new and must be armed.
    pub(super) fn join(&mut self, wanted: Wanted, subscriber: Subscriber, now: Instant) -> Option<TargetId> {
        let known = self.shared.get(&wanted).copied();
        let id = known.unwrap_or_else(|| {
            self.next_target += 1;
            TargetId(self.next_target)
        });
        self.joined.insert(subscriber.id, id);
        self.shared.entry(wanted).or_insert_with_key(|wanted| {
            self.targets.insert(id, Box::new(WatchedTarget::new(id, wanted.clone())));
            id
        });
        if let Some(target) = self.targets.get_mut(&id) {
            target.join(subscriber);
        }
        if known.is_some() && !self.owed.contains_key(&id) {
            self.schedule(id, now);
        }
        known.is_none().then_some(id)
    }

    /// Removes a subscriber; returns the target if this was its last one.
    pub(super) fn leave(&mut self, subscriber: SubscriberId) -> Option<TargetId> {
        let id = self.joined.remove(&subscriber)?;
        let target = self.targets.get_mut(&id)?;
        target.subscribers.retain(|known| known.id != subscriber);
        if !target.subscribers.is_empty() {
            return None;
        }
        self.take_owed(id);
        self.unschedule(id);
        self.demands.remove(&id);
        let target = self.targets.remove(&id)?;
        self.shared.remove(&target.wanted);
        if let Some(retry) = target.refused.and_then(|refusal| refusal.retry) {
            self.retries.remove(&(retry, id));
        }
        Some(id)
    }

    /// After a panic: keeps the targets and derives everything else from them. Pending proofs wait for the next
    /// session's reads.
    pub(super) fn rebuild(&mut self) {
        let old = std::mem::take(self);
        for (id, target) in old.targets {
            self.shared.insert(target.wanted.clone(), id);
            self.joined.extend(target.subscribers.iter().map(|subscriber| (subscriber.id, id)));
            self.targets.insert(id, target);
        }
        self.demands = old.demands;
        self.demands.retain(|id, _| self.targets.contains_key(id));
        self.next_target = old.next_target;
        // The next number may have been given to a subscriber already.
        self.seq = old.seq + 1;
    }

    /// All targets, to be armed in a new session. An answer is outstanding for each from now on.
    pub(super) fn arm_all(&mut self, now: Instant) -> Vec<Arm> {
        let ids: Vec<TargetId> = self.targets.keys().copied().collect();
        self.arm(&ids, now)
    }

    /// These targets, to be armed in the open session.
    pub(super) fn arm(&mut self, ids: &[TargetId], now: Instant) -> Vec<Arm> {
        for &id in ids {
            self.owe(id, now);
            self.unschedule(id);
            if let Some(refusal) = self.targets.get_mut(&id).and_then(|target| target.refused.as_mut())
                && let Some(retry) = refusal.retry.take()
            {
                self.retries.remove(&(retry, id));
            }
        }
        ids.iter().filter_map(|id| self.targets.get(id)).map(|target| target.arm()).collect()
    }

    /// The session is gone: no answer is outstanding, and nothing is verified or retried without one.
    pub(super) fn disconnect(&mut self) {
        self.owed.clear();
        self.owed_since.clear();
        // The next session's reads are newer than all requests so far.
        for demands in self.demands.values_mut() {
            demands.asked.append(&mut demands.later);
        }
        self.last_sign = None;
        self.last_part = None;
        self.due.clear();
        self.retries.clear();
        for target in self.targets.values_mut() {
            target.due = None;
            if let Some(refusal) = &mut target.refused {
                refusal.retry = None;
            }
        }
    }

    pub(super) fn observe(&mut self, id: TargetId, reading: Reading, proof: Proof, now: Instant) -> Observed {
        let Some(target) = self.targets.get_mut(&id) else { return Observed::Nothing };
        let refused = target.refused.is_some();
        // A session may read a refused target again by itself, before the retry is due.
        if let Some(retry) = target.refused.as_ref().and_then(|refusal| refusal.retry) {
            self.retries.remove(&(retry, id));
        }
        if target.observe(reading, proof, now, Seq(self.seq + 1)) {
            self.seq += 1;
        }
        let recovered = (refused && target.refused.is_none()).then(|| target.wanted.clone());
        match proof {
            Proof::Read => {
                self.answer(id, now);
                self.proved(id);
            }
            Proof::Event => {}
        }
        if !self.owed.contains_key(&id) {
            self.schedule(id, now);
        }
        recovered.map_or(Observed::State, Observed::Recovered)
    }

    /// A part of an answer came.
    pub(super) fn progress(&mut self, now: Instant) {
        if self.owes_answers() {
            self.last_sign = Some(now);
            self.last_part = Some(now);
        }
    }

    pub(super) fn refuse(
        &mut self,
        id: TargetId,
        error: &StoreError,
        now: Instant,
        rng: &mut fastrand::Rng,
    ) -> Observed {
        let took = self.owed.get(&id).map_or(Duration::ZERO, |since| now - *since);
        self.answer(id, now);
        self.unschedule(id);
        let Some(target) = self.targets.get_mut(&id) else { return Observed::Nothing };
        if let Some(retry) = target.refused.as_ref().and_then(|refusal| refusal.retry) {
            self.retries.remove(&(retry, id));
        }
        let news = target.refuse(error, took, now, rng);
        if let Some(retry) = target.refused.as_ref().and_then(|refusal| refusal.retry) {
            self.retries.insert((retry, id));
        }
        if news { Observed::NewlyRefused(target.wanted.clone()) } else { Observed::Nothing }
    }

    /// Targets due for verification. An answer is outstanding for each from now on.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<TargetId> {
        if self.due.first().is_none_or(|&(due, _)| due > now) {
            return Vec::new();
        }
        let early = |id: &TargetId| {
            let interval = self.targets.get(id).and_then(|target| target.verify_interval());
            interval.unwrap_or_default() / EARLY
        };
        let due: Vec<TargetId> =
            self.due.iter().filter(|(due, id)| *due <= now + early(id)).map(|&(_, id)| id).collect();
        for &id in &due {
            self.unschedule(id);
            self.owe(id, now);
        }
        due
    }

    /// A subscriber waits for a read of its target that starts from now on.
    pub(super) fn demand(&mut self, subscriber: SubscriberId, answer: oneshot::Sender<()>) {
        let Some(&id) = self.joined.get(&subscriber) else { return };
        let demands = self.demands.entry(id).or_default();
        // A read in flight may have happened before the request.
        demands.later.push(answer);
    }

    /// Targets to read because a subscriber waits for it. An answer is outstanding for each from now on.
    pub(super) fn take_demanded(&mut self, now: Instant) -> Vec<TargetId> {
        let mut due = Vec::new();
        for (&id, demands) in &mut self.demands {
            if !demands.later.is_empty() && !self.owed.contains_key(&id) {
                demands.asked.append(&mut demands.later);
                due.push(id);
            }
        }
        // A refused target is read when it is armed again.
        due.retain(|id| self.targets.get(id).is_some_and(|target| target.refused.is_none()));
        for &id in &due {
            self.unschedule(id);
            self.owe(id, now);
        }
        due
    }

    fn proved(&mut self, id: TargetId) {
        let Some(demands) = self.demands.get_mut(&id) else { return };
        for answer in demands.asked.drain(..) {
            // The caller may be gone.
            let _ = answer.send(());
        }
        if demands.later.is_empty() {
            self.demands.remove(&id);
        }
    }

    /// Refused targets that are due for a retry.
    pub(super) fn take_retries(&mut self, now: Instant) -> Vec<TargetId> {
        let due = self.retries.iter().take_while(|(retry, _)| *retry <= now);
        due.map(|&(_, id)| id).collect()
    }

    /// Whether any answer is outstanding.
    pub(super) fn owes_answers(&self) -> bool {
        !self.owed.is_empty()
    }

    /// When the session counts as lost if it does not answer.
    pub(super) fn answer_deadline(&self) -> Option<Instant> {
        let &(oldest, _) = self.owed_since.first()?;
        let quiet_since = self.last_sign.map_or(oldest, |last| last.max(oldest));
        let late = oldest + LATE_ANSWER;
        let late = self.last_part.map_or(late, |part| late.max(part + NO_ANSWER));
        Some((quiet_since + NO_ANSWER).min(late))
    }

    /// When the next verification, retry or overdue answer is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let due = self.due.first().map(|&(due, _)| due);
        let retry = self.retries.first().map(|&(retry, _)| retry);
        [due, retry, self.answer_deadline()].into_iter().flatten().min()
    }

    fn owe(&mut self, id: TargetId, now: Instant) {
        if self.targets.contains_key(&id) && !self.owed.contains_key(&id) {
            self.owed.insert(id, now);
            self.owed_since.insert((now, id));
        }
    }

    fn answer(&mut self, id: TargetId, now: Instant) {
        if self.take_owed(id) {
            self.last_sign = Some(now);
        }
    }

    fn take_owed(&mut self, id: TargetId) -> bool {
        let Some(since) = self.owed.remove(&id) else { return false };
        self.owed_since.remove(&(since, id))
    }

    /// Schedules the next verification one interval after the last proof of life.
    fn schedule(&mut self, id: TargetId, now: Instant) {
        self.unschedule(id);
        let Some(target) = self.targets.get_mut(&id) else { return };
        if let (Some(interval), None) = (target.verify_interval(), &target.refused) {
            let due = target.verified.unwrap_or(now) + interval;
            self.due.insert((due, id));
            target.due = Some(due);
        }
    }

    fn unschedule(&mut self, id: TargetId) {
        if let Some(due) = self.targets.get_mut(&id).and_then(|target| target.due.take()) {
            self.due.remove(&(due, id));
        }
    }
}
