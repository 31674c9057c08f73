//! What must hold after every step, judged by what the store holds and what runs, not by what a machine believes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::store::{Change, Store};
use crate::fleet::record::{Control, HostRecord, HostState, Permit, Rollout, RolloutState};
use crate::fleet::terms::{Vote, meet, permits};
use crate::fleet::{BootTime, GroupKey, HostName, PermitId, StateId, Value};

/// A conductor may decide by a picture that is this old: as long as a process is frozen, and a watch is late.
const LAG: Duration = Duration::from_secs(200);

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

/// Judges every step.
#[derive(Default)]
pub struct Oracle {
    grants: BTreeMap<PermitId, Grant>,
    pub running: BTreeMap<HostName, Run>,
    returned: BTreeSet<PermitId>,
    deleted: BTreeSet<PermitId>,
    limits: VecDeque<(BootTime, u32)>,
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

fn control(store: &Store) -> Option<&Control> {
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
        self.violation.get_or_insert(what);
    }

    /// The limit that all live members together say, now.
    pub fn note_limit(&mut self, store: &Store, now: BootTime) {
        let live = store.keys.keys().filter_map(|key| match key {
            GroupKey::Alive(host) => record(store, host).map(|record| (host, record)),
            GroupKey::Host(_)
            | GroupKey::Permit(_)
            | GroupKey::Twin(..)
            | GroupKey::Rollout
            | GroupKey::Summary
            | GroupKey::Conductor
            | GroupKey::Control => None,
        });
        let votes: Vec<Vote<'_>> =
            live.map(|(host, record)| Vote { terms: &record.terms, hosts: 1, host }).collect();
        let base = rollout(store).map_or(0, |rollout| rollout.base).max(u32::try_from(votes.len()).unwrap());
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

    fn greatest_limit(&self) -> u32 {
        self.limits.iter().map(|(_, limit)| *limit).max().unwrap_or(1)
    }

    /// A conductor's transaction was applied. `before`: the permits that it replaced or deleted.
    pub fn conducted(&mut self, store: &Store, changes: &[Change], before: &BTreeMap<HostName, PermitId>) {
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
        if made && (held > limit || held > self.greatest_limit()) {
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
        self.in_its_wave(store, rollout, host);
    }

    fn in_its_wave(&mut self, store: &Store, rollout: &Rollout, host: &HostName) {
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
        let has = |key: &GroupKey| match key {
            GroupKey::Host(host) => {
                permit(store, host).is_some()
                    || record(store, host).is_some_and(|record| record.applied == rollout.id)
            }
            GroupKey::Alive(_)
            | GroupKey::Permit(_)
            | GroupKey::Twin(..)
            | GroupKey::Rollout
            | GroupKey::Summary
            | GroupKey::Conductor
            | GroupKey::Control => false,
        };
        let covered = u32::try_from(store.keys.keys().filter(|key| has(key)).count()).unwrap();
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
        self.reclaims += u64::from(!returned);
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

    /// An action starts.
    pub fn started(&mut self, host: &HostName, id: PermitId, state: StateId) {
        self.starts += 1;
        let Some(grant) = self.grants.get(&id) else {
            return self.fail(format!("I2: {host} starts under {id}, which was never granted"));
        };
        if grant.host != *host || !grant.claimed {
            self.fail(format!("I2: {host} starts under {id} without a claim"));
        } else if grant.state != state {
            self.fail(format!("I3: {host} starts {state} under a permit for {}", grant.state));
        } else if self.returned.contains(&id) {
            self.fail(format!("I4: {host} starts under {id}, which it returned"));
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
pub fn converged(store: &Store, newest: StateId, hosts: &[HostName]) -> bool {
    let has = |host: &HostName| {
        record(store, host).is_some_and(|r| r.applied == Some(newest) && r.state == HostState::Converged)
            && permit(store, host).is_none()
    };
    hosts.iter().all(has) && rollout(store).is_some_and(|rollout| rollout.state == RolloutState::Done)
}
