//! What must hold after every step, judged by what the store holds and what runs, not by what a machine believes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::store::{Change, Store};
use crate::fleet::record::{ControlRecord, HostRecord, HostState, Permit, Rollout, RolloutState};
use crate::fleet::terms::{Terms, Vote, meet, permits};
use crate::fleet::{BootTime, GroupKey, HostName, PermitId, StateId, Value};

/// A conductor may decide by a picture that is this old: as long as a process is frozen, and a watch is late.
const LAG: Duration = Duration::from_mins(5);

/// Whatever a watch missed is read again within this time, also by a process that is frozen or cut off at times.
const MISLED: Duration = Duration::from_secs(100);

/// A permit that was granted.
struct Grant {
    host: HostName,
    limit: u32,
    state: StateId,
    claimed: bool,
}

/// A run.
pub struct Run {
    pub permit: PermitId,
}

/// Who has the version of the rollout, or holds a permit.
#[derive(Default)]
struct Coverage {
    id: Option<StateId>,
    hosts: BTreeSet<HostName>,
    /// Their permits were reclaimed: what they still report was not in the conductor's hands.
    lost: BTreeSet<HostName>,
}

impl Coverage {
    fn note(&mut self, store: &Store, host: &HostName) {
        let done =
            record(store, host).is_some_and(|record| record.applied.is_some() && record.applied == self.id);
        if permit(store, host).is_some() || done && !self.lost.contains(host) {
            self.hosts.insert(host.clone());
        } else {
            self.hosts.remove(host);
        }
    }

    fn follow(&mut self, store: &Store) {
        let id = rollout(store).and_then(|rollout| rollout.id);
        if id == self.id {
            return;
        }
        self.id = id;
        self.hosts.clear();
        self.lost.clear();
        for key in store.keys.keys() {
            if let GroupKey::Host(host) | GroupKey::Permit(host) = key {
                self.note(store, host);
            }
        }
    }
}

/// Judges every step.
#[derive(Default)]
pub struct Oracle {
    grants: BTreeMap<PermitId, Grant>,
    pub running: BTreeMap<HostName, Run>,
    returned: BTreeSet<PermitId>,
    deleted: BTreeSet<PermitId>,
    /// The terms of live hosts, and how many have each.
    votes: BTreeMap<HostName, Arc<Terms>>,
    tally: HashMap<Arc<Terms>, (usize, HostName)>,
    votes_changed: bool,
    most_live: u32,
    misled_until: BootTime,
    limits: VecDeque<(BootTime, u32)>,
    coverage: Coverage,
    /// The failures that each host has reported of the last version that failed there.
    failed: BTreeMap<HostName, (StateId, u32)>,
    /// The store is restored: nothing is judged but that no more runs than this are in progress.
    pub only_limit: Option<u32>,
    pub violation: Option<String>,
    pub permits: usize,
    pub grants_made: u64,
    pub starts: u64,
    pub reclaims: u64,
    pub most_running: usize,
}

pub fn rollout(store: &Store) -> Option<&Rollout> {
    match store.keys.get(&GroupKey::Rollout).map(|stored| &stored.value) {
        Some(Value::Rollout(rollout)) => Some(rollout),
        Some(_) | None => None,
    }
}

fn control(store: &Store) -> Option<&ControlRecord> {
    match store.keys.get(&GroupKey::Control).map(|stored| &stored.value) {
        Some(Value::Control(control)) => Some(control),
        Some(_) | None => None,
    }
}

pub fn record<'a>(store: &'a Store, host: &HostName) -> Option<&'a HostRecord> {
    match store.keys.get(&GroupKey::Host(host.clone())).map(|stored| &stored.value) {
        Some(Value::Host(record)) => Some(record),
        Some(_) | None => None,
    }
}

fn permit<'a>(store: &'a Store, host: &HostName) -> Option<&'a Permit> {
    match store.keys.get(&GroupKey::Permit(host.clone())).map(|stored| &stored.value) {
        Some(Value::Permit(permit)) => Some(permit),
        Some(_) | None => None,
    }
}

impl Oracle {
    pub fn fail(&mut self, what: String) {
        if self.only_limit.is_none() {
            self.violation.get_or_insert(what);
        }
    }

    /// Keys changed. Noting one twice changes nothing.
    pub fn note(&mut self, store: &Store, changes: &[Change], now: BootTime) {
        for change in changes {
            match &change.key {
                GroupKey::Host(host) => {
                    self.coverage.note(store, host);
                    self.note_vote(store, host);
                }
                GroupKey::Permit(host) => self.coverage.note(store, host),
                GroupKey::Alive(host) => self.note_vote(store, host),
                GroupKey::Rollout => {
                    self.coverage.follow(store);
                    self.votes_changed = true;
                }
                GroupKey::Control => self.votes_changed = true,
                GroupKey::Twin(..) | GroupKey::Summary | GroupKey::Conductor => {}
            }
        }
        if std::mem::take(&mut self.votes_changed) {
            self.note_limit(store, now);
        }
    }

    fn note_vote(&mut self, store: &Store, host: &HostName) {
        let alive = store.keys.contains_key(&GroupKey::Alive(host.clone()));
        let terms = record(store, host).filter(|_| alive).map(|record| Arc::clone(&record.terms));
        let former = match &terms {
            Some(terms) => self.votes.insert(host.clone(), Arc::clone(terms)),
            None => self.votes.remove(host),
        };
        if former == terms {
            return;
        }
        self.votes_changed = true;
        if let Some(terms) = terms {
            self.tally.entry(terms).or_insert_with(|| (0, host.clone())).0 += 1;
        }
        if let Some(terms) = former
            && let Some((hosts, _)) = self.tally.get_mut(&terms)
        {
            *hosts -= 1;
            if *hosts == 0 {
                self.tally.remove(&terms);
            }
        }
    }

    /// The limit that all live members together say, now.
    fn note_limit(&mut self, store: &Store, now: BootTime) {
        let votes: Vec<Vote<'_>> =
            self.tally.iter().map(|(terms, (hosts, host))| Vote { terms, hosts: *hosts, host }).collect();
        // The base is the most that a conductor saw live, at any time since the rollout began.
        self.most_live = self.most_live.max(u32::try_from(self.votes.len()).unwrap());
        let base = rollout(store).map_or(0, |rollout| rollout.base).max(self.most_live);
        let set =
            control(store).and_then(|control| control.set.as_ref()).map(|set| set.max_parallel.at_most(base));
        let said = meet(&votes, base).map_or(1, |in_force| permits(in_force.terms.max_parallel, base));
        let limit = set.unwrap_or(said);
        if self.limits.back().is_none_or(|(_, last)| *last != limit) {
            self.limits.push_back((now, limit));
        }
        // The value that held when the window began counts as well.
        while self.limits.get(1).is_some_and(|(at, _)| now.since(*at) > LAG) {
            self.limits.pop_front();
        }
    }

    /// A conductor was not told of a host's tenure or terms: until it reads them again its picture may be one that
    /// never was, of the most generous host alone.
    pub fn mislead(&mut self, now: BootTime) {
        self.misled_until = now.plus(MISLED);
    }

    fn greatest_limit(&self) -> u32 {
        self.limits.iter().map(|(_, limit)| *limit).max().unwrap_or(1)
    }

    /// A conductor's transaction was applied. `before`: the permits that it replaced or deleted.
    pub fn conducted(
        &mut self,
        store: &Store,
        changes: &[Change],
        before: &BTreeMap<HostName, PermitId>,
        now: BootTime,
    ) {
        if self.only_limit.is_some() {
            return;
        }
        for change in changes {
            let GroupKey::Permit(host) = &change.key else { continue };
            let former = before.get(host).copied();
            match &change.entry.value {
                Some(Value::Permit(permit)) if former == Some(permit.id) => {}
                Some(Value::Permit(permit)) => {
                    self.permits += usize::from(former.is_none());
                    self.granted(store, host, permit);
                }
                Some(_) => self.fail(format!("I1: no permit was written for {host}")),
                None => {
                    if let Some(id) = former {
                        self.permits -= 1;
                        self.freed(store, host, id);
                    }
                }
            }
        }
        let made = changes.iter().any(|change| match (&change.key, &change.entry.value) {
            (GroupKey::Permit(host), Some(Value::Permit(permit))) => before.get(host) != Some(&permit.id),
            _ => false,
        });
        let held = u32::try_from(self.permits).unwrap();
        let limit = rollout(store).map_or(0, limit_of);
        let believed = now < self.misled_until || held <= self.greatest_limit();
        if made && (held > limit || !believed) {
            let said = self.greatest_limit();
            self.fail(format!("I1: {held} permits, and the limit is {limit} (hosts say {said})"));
        }
    }

    fn granted(&mut self, store: &Store, host: &HostName, permit: &Permit) {
        self.grants_made += 1;
        let Some(rollout) = rollout(store) else {
            return self.fail("I1: a grant without a rollout".to_owned());
        };
        let limit = limit_of(rollout);
        let grant = Grant { host: host.clone(), limit, state: permit.state, claimed: false };
        if self.grants.insert(permit.id, grant).is_some() || self.returned.contains(&permit.id) {
            self.fail(format!("I4: permit {} was granted twice", permit.id));
        }
        if rollout.id != Some(permit.state) {
            self.fail(format!("I3: a grant of {} during {:?}", permit.state, rollout.id));
        }
        let allowed = match rollout.state {
            RolloutState::Rolling | RolloutState::Done => true,
            RolloutState::Stopped => permit.retry,
            RolloutState::Idle | RolloutState::Soaking | RolloutState::Aborted => false,
        };
        if !allowed || is_forbidden(store, permit.state) {
            self.fail(format!("I3: a grant to {host} while {:?}", rollout.state));
        }
        self.in_its_wave(rollout, host);
    }

    fn in_its_wave(&mut self, rollout: &Rollout, host: &HostName) {
        let Some(terms) = rollout.terms.as_ref().map(|in_force| &in_force.terms) else { return };
        let canaries = usize::from(!terms.canary.is_empty());
        let wave = usize::try_from(rollout.wave).unwrap();
        if wave == 0 {
            return self.fail("I3: a grant before the first wave".to_owned());
        }
        if wave <= canaries {
            if !terms.canary.names(&host.to_string()) {
                self.fail(format!("I3: {host} is no canary"));
            }
            return;
        }
        let Some(share) = terms.waves.get(wave - 1 - canaries) else { return };
        let target = share.at_most(rollout.base);
        let covered = u32::try_from(self.coverage.hosts.len()).unwrap();
        if covered > target {
            self.fail(format!("I3: {covered} hosts in a wave of {target}"));
        }
    }

    /// A permit was deleted: nothing may run under it.
    fn freed(&mut self, store: &Store, host: &HostName, id: PermitId) {
        if !self.deleted.insert(id) {
            self.fail(format!("I4: permit {id} was freed twice"));
        }
        let returned = record(store, host).is_some_and(|record| record.back >= Some(id));
        if !returned {
            self.reclaims += 1;
            self.coverage.lost.insert(host.clone());
        }
        if self.running.get(host).is_some_and(|run| run.permit == id) {
            self.fail(format!("I2: permit {id} was freed while {host} runs under it"));
        }
    }

    /// A host wrote its record. `claims`: the permit that the transaction claims.
    pub fn wrote(
        &mut self,
        store: &Store,
        host: &HostName,
        before: Option<PermitId>,
        claims: Option<PermitId>,
    ) {
        self.remembers(store, host);
        let Some(back) = record(store, host).map(|record| record.back) else { return };
        if back > before {
            let mine = self
                .grants
                .range(..=back.unwrap())
                .filter(|(id, grant)| grant.host == *host && Some(**id) > before);
            let ids: Vec<PermitId> = mine.map(|(id, _)| *id).collect();
            for id in ids {
                if !self.returned.insert(id) {
                    self.fail(format!("I4: permit {id} was returned twice"));
                }
            }
        }
        let Some(id) = claims else { return };
        let held = permit(store, host);
        if held.map(|permit| permit.id) != Some(id) {
            return self.fail(format!("I3: {host} claimed {id}, and the store has {:?}", held.map(|p| p.id)));
        }
        if self.returned.contains(&id) {
            self.fail(format!("I4: {host} claimed {id} after it was returned"));
        }
        if let Some(grant) = self.grants.get_mut(&id) {
            grant.claimed = true;
            if is_forbidden(store, grant.state) {
                self.fail(format!("I3: {host} claimed {id} after a pause or an abort"));
            }
        }
        let stopped = rollout(store).is_some_and(|rollout| {
            rollout.state == RolloutState::Stopped
                && held.is_some_and(|p| rollout.id == Some(p.state) && !p.retry)
        });
        if stopped {
            self.fail(format!("I3: {host} claimed {id} after the stop"));
        }
    }

    /// Failures of a version that were reported stay reported until the host succeeds or turns to a newer version.
    fn remembers(&mut self, store: &Store, host: &HostName) {
        let Some(record) = record(store, host) else { return };
        if let Some((state, failures)) = self.failed.get(host).copied() {
            let turned = record.seen.is_some_and(|seen| state.version.is_before(seen.version));
            let keeps = record.seen == Some(state) && record.failures >= failures;
            if record.applied == Some(state) || turned {
                self.failed.remove(host);
            } else if !keeps {
                let (seen, now) = (record.seen.map(|seen| seen.version), record.failures);
                self.fail(format!(
                    "I8: {host} forgets {failures} failures of {}: {now} of {seen:?}",
                    state.version
                ));
            }
        }
        if let Some(seen) = record.seen.filter(|seen| record.failures > 0 && record.applied != Some(*seen)) {
            self.failed.insert(host.clone(), (seen, record.failures));
        }
    }

    /// An action starts.
    pub fn started(&mut self, host: &HostName, id: PermitId, state: StateId) {
        self.starts += 1;
        if let Some(limit) = self.only_limit {
            self.running.insert(host.clone(), Run { permit: id });
            if self.running.len() > usize::try_from(limit).unwrap() {
                let hosts: Vec<String> = self.running.keys().map(ToString::to_string).collect();
                self.violation.get_or_insert(format!("I2: {} run at once after a restore", hosts.join(", ")));
            }
            return;
        }
        let Some(grant) = self.grants.get(&id) else {
            return self.fail(format!("I2: {host} starts under {id}, which was never granted"));
        };
        if grant.host != *host || !grant.claimed {
            self.fail(format!("I2: {host} starts under {id} without a claim"));
        } else if grant.state != state {
            self.fail(format!("I3: {host} starts {state} under a permit for {}", grant.state));
        } else if self.returned.contains(&id) {
            self.fail(format!("I4: {host} starts under {id}, which it returned"));
        } else if self.deleted.contains(&id) {
            self.fail(format!("I2: {host} starts under {id}, which was reclaimed"));
        }
        self.running.insert(host.clone(), Run { permit: id });
        self.most_running = self.most_running.max(self.running.len());
        let youngest = self.running.values().map(|run| run.permit).max();
        let limit = youngest.and_then(|id| self.grants.get(&id)).map_or(0, |grant| grant.limit);
        if u32::try_from(self.running.len()).unwrap() > limit {
            self.fail(format!("I2: {} runs at once, and the limit is {limit}", self.running.len()));
        }
    }
}

fn limit_of(rollout: &Rollout) -> u32 {
    rollout.terms.as_ref().map_or(1, |in_force| permits(in_force.terms.max_parallel, rollout.base))
}

fn is_forbidden(store: &Store, state: StateId) -> bool {
    control(store).is_some_and(|control| {
        let aborted = control.aborted.as_ref().is_some_and(|order| order.version == state.version);
        control.paused.is_some() || aborted
    })
}

/// Whether everybody has the version and nothing is held.
pub fn converged<'a>(store: &Store, newest: StateId, mut hosts: impl Iterator<Item = &'a HostName>) -> bool {
    let has = |host: &HostName| {
        record(store, host).is_some_and(|r| r.applied == Some(newest) && r.state == HostState::Converged)
            && permit(store, host).is_none()
    };
    rollout(store).is_some_and(|rollout| rollout.state == RolloutState::Done) && hosts.all(has)
}
