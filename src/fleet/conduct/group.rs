//! The conductor's picture of the group: every host, how it stands, and the sums, kept up with each change.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::silence::Silence;
use crate::fleet::record::{Counts, HostRecord, HostState};
use crate::fleet::terms::{InForce, Terms, Vote, meet};
use crate::fleet::view::{Keys, Measure, Standing, Want, count, judge, may_run};
use crate::fleet::{BootTime, GroupName, HostName, Revision, Value};

/// One host.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Member {
    /// What the store has of it.
    pub keys: Keys,
    /// The revisions of its record, tenure and permit as last seen, including deletions.
    pub record_at: Revision,
    alive_at: Revision,
    /// The same of its permit.
    pub permit_at: Revision,
    /// Since when it is silent with this record, by our clock.
    pub silent_since: Option<BootTime>,
    /// Its run must have ended by now, although no report came.
    pub released: bool,
    /// It went away with its permit.
    pub lost: bool,
    /// Its permit cannot be read.
    garbled: bool,
    standing: Option<Standing>,
    canary: bool,
    place: Option<QueuePlace>,
}

impl Member {
    /// How it stands.
    pub fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref()
    }

    /// The revision of its record that a transaction can require.
    pub fn record_revision(&self) -> Revision {
        if self.keys.record.is_some() || self.keys.unreadable { self.record_at } else { Revision::ABSENT }
    }

    /// The revision of its permit that a transaction can require, also of one that cannot be read.
    pub fn permit_revision(&self) -> Revision {
        if self.keys.permit.is_some() || self.garbled { self.permit_at } else { Revision::ABSENT }
    }

    /// Whether it holds a permit that it has given back, or one that cannot be read.
    pub fn has_returned(&self) -> bool {
        if self.garbled {
            return true;
        }
        match (&self.keys.record, &self.keys.permit) {
            (Some(record), Some(permit)) => record.back >= Some(permit.id),
            (Some(_) | None, None) | (None, Some(_)) => false,
        }
    }

    /// Whether it has started, or may have started, something under its permit.
    pub fn has_claimed(&self) -> bool {
        match (&self.keys.record, &self.keys.permit) {
            (Some(record), Some(permit)) => record.permit == Some(permit.id),
            (Some(_) | None, None) | (None, Some(_)) => false,
        }
    }
}

/// The place among those that wait: who has the least is next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuePlace {
    /// A holder of an older permit first, then canaries, fewest failures, longest behind; then by chance, but
    /// always the same.
    order: (Reverse<bool>, Reverse<bool>, u32, i64, u64),
    /// Who.
    pub host: HostName,
    /// What for.
    pub want: Want,
    /// It is a canary.
    pub canary: bool,
}

/// Sums over all hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// As they are shown.
    pub counts: Counts,
    /// Hosts with a tenure.
    pub live: u32,
    /// They have the version.
    pub done: u32,
    /// They may run something or hold a permit.
    pub occupied: u32,
    /// Either.
    pub covered: u32,
    /// They count for `stop_on_failures`.
    pub failing: u32,
    /// They will act.
    pub left: u32,
    /// Live canaries whose watch is neither paused nor stopped.
    pub canaries: u32,
    /// Those of them that do not have the version.
    pub canaries_left: u32,
}

impl Sums {
    fn count(&mut self, standing: &Standing, canary: bool, add: bool) {
        let mut one = Self::default();
        count(&mut one.counts, standing);
        let is = u32::from;
        one.live = is(standing.live);
        one.done = is(standing.done);
        one.occupied = is(standing.occupied);
        one.covered = is(standing.done || standing.occupied);
        one.failing = is(standing.failing);
        one.left = is(standing.left);
        one.canaries = is(canary && standing.ready);
        one.canaries_left = is(canary && standing.ready && !standing.done);
        for (sum, one) in self.each().into_iter().zip(one.each()) {
            *sum = if add { *sum + *one } else { sum.saturating_sub(*one) };
        }
    }

    fn each(&mut self) -> [&mut u32; 18] {
        let Self { counts, live, done, occupied, covered, failing, left, canaries, canaries_left } = self;
        let Counts { members, converged, acting, asking, behind, failed, conflict, silent, down, over } =
            counts;
        [
            members,
            converged,
            acting,
            asking,
            behind,
            failed,
            conflict,
            silent,
            down,
            over,
            live,
            done,
            occupied,
            covered,
            failing,
            left,
            canaries,
            canaries_left,
        ]
    }
}

/// All hosts.
#[derive(Debug, Default)]
pub struct Group {
    name: Option<GroupName>,
    /// By name.
    pub members: BTreeMap<HostName, Member>,
    /// What they are compared with.
    pub measure: Measure,
    /// Sums.
    pub sums: Sums,
    /// Who waits, in order.
    pub queue: BTreeSet<QueuePlace>,
    /// Who holds a permit.
    pub holders: BTreeSet<HostName>,
    /// Who holds one and has given it back.
    pub returned: BTreeSet<HostName>,
    /// Who is silent.
    pub silent: BTreeSet<HostName>,
    /// Who is silent and holds a permit or may run something, and those that fell silent with the version while
    /// `watches_done`.
    pub suspects: BTreeSet<HostName>,
    /// Hosts that fall silent after success count, because a wave has to prove the version.
    pub watches_done: bool,
    /// Whether many are silent at once.
    pub silence: Silence,
    votes: HashMap<Arc<Terms>, BTreeSet<HostName>>,
    targets: BTreeMap<Arc<str>, u32>,
    /// Live members changed their terms or targets since this was last asked.
    pub votes_changed: bool,
    ttl: Duration,
}

impl Group {
    /// An empty group.
    pub fn new(name: GroupName, ttl: Duration) -> Self {
        Self { name: Some(name), ttl, ..Self::default() }
    }

    /// A host is silent when its tenure was not renewed for this long.
    pub fn set_ttl(&mut self, ttl: Duration) {
        self.ttl = ttl;
    }

    /// Takes over what a key holds, unless something later is known of it. Returns whether that changed anything.
    pub fn record(&mut self, host: &HostName, at: Revision, value: Option<&Value>, now: BootTime) -> bool {
        let record = match value {
            Some(Value::Host(record)) => Some(Arc::clone(record)),
            Some(_) | None => None,
        };
        let unreadable = value.is_some() && record.is_none();
        self.change(host, now, |member| {
            if at <= member.record_at {
                return false;
            }
            member.record_at = at;
            member.keys.record = record;
            member.keys.unreadable = unreadable;
            member.released = false;
            member.silent_since = member.silent_since.map(|_| now);
            true
        })
    }

    /// The same for its tenure.
    pub fn alive(&mut self, host: &HostName, at: Revision, alive: bool, now: BootTime) -> bool {
        self.change(host, now, |member| {
            if at <= member.alive_at {
                return false;
            }
            member.alive_at = at;
            let changed = member.keys.alive != alive;
            member.keys.alive = alive;
            changed
        })
    }

    /// The same for its permit. One that cannot be read counts as given back: it is deleted.
    pub fn permit(&mut self, host: &HostName, at: Revision, value: Option<&Value>, now: BootTime) -> bool {
        let permit = match value {
            Some(Value::Permit(permit)) => Some(Arc::clone(permit)),
            Some(_) | None => None,
        };
        let garbled = value.is_some() && permit.is_none();
        self.change(host, now, |member| {
            if at <= member.permit_at {
                return false;
            }
            member.permit_at = at;
            member.garbled = garbled;
            member.keys.permit = permit;
            true
        })
    }

    /// Marks a host as lost, or not.
    pub fn set_lost(&mut self, host: &HostName, lost: bool, now: BootTime) {
        self.change(host, now, |member| std::mem::replace(&mut member.lost, lost) != lost);
    }

    /// Its run must have ended: nothing of it counts as running until its record says so again.
    pub fn release(&mut self, host: &HostName, now: BootTime) {
        self.change(host, now, |member| !std::mem::replace(&mut member.released, true));
    }

    /// Judges everybody anew, after something changed that everybody is compared with.
    pub fn judge_all(&mut self, now: BootTime) {
        let hosts: Vec<HostName> = self.members.keys().cloned().collect();
        for host in hosts {
            self.change(&host, now, |_| true);
        }
    }

    /// Clocks of silent hosts begin anew.
    pub fn restart_clocks(&mut self, now: BootTime) {
        for host in &self.silent {
            if let Some(member) = self.members.get_mut(host) {
                member.silent_since = Some(now);
            }
        }
    }

    /// The terms in force among live members. `None`: no member is live.
    pub fn terms(&self, base: u32) -> Option<InForce> {
        let vote = |(terms, hosts): (&'_ Arc<Terms>, &'_ BTreeSet<HostName>)| {
            Some((Arc::clone(terms), hosts.len(), hosts.first()?.clone()))
        };
        let votes: Vec<(Arc<Terms>, usize, HostName)> = self.votes.iter().filter_map(vote).collect();
        let votes: Vec<Vote<'_>> =
            votes.iter().map(|(terms, hosts, host)| Vote { terms, hosts: *hosts, host }).collect();
        meet(&votes, base)
    }

    /// How many live members have terms that are not those of most.
    pub fn disagree(&self) -> u32 {
        let all: usize = self.votes.values().map(BTreeSet::len).sum();
        let most = self.votes.values().map(BTreeSet::len).max().unwrap_or(0);
        u32::try_from(all - most).unwrap_or(u32::MAX)
    }

    /// What most live members watch; on a tie what was it until now.
    pub fn target(&self) -> Option<Arc<str>> {
        let most = self.targets.values().max()?;
        let mut leading = self.targets.iter().filter(|(_, hosts)| *hosts == most).map(|(target, _)| target);
        let former = self.measure.target.as_ref();
        let first = leading.clone().next()?;
        Some(leading.find(|target| Some(*target) == former).unwrap_or(first).clone())
    }

    /// Time after which its run must have ended. A host without a record: as long as the longest of all.
    pub fn limit(&self, member: &Member) -> Duration {
        let of = |record: &HostRecord| record.limit;
        let longest = || self.members.values().filter_map(|m| m.keys.record.as_deref().map(of)).max();
        member.keys.record.as_deref().map(of).or_else(longest).unwrap_or(self.ttl)
    }

    /// Changes a host and keeps everything that follows from it. Does nothing where `with` says that nothing changed.
    fn change(&mut self, host: &HostName, now: BootTime, with: impl FnOnce(&mut Member) -> bool) -> bool {
        let mut member = self.members.remove(host).unwrap_or_default();
        let before = member.standing;
        let former = vote_of(&member);
        let watched = self.suspects.contains(host);
        if !with(&mut member) {
            self.members.insert(host.clone(), member);
            return false;
        }
        if let Some(standing) = before {
            self.sums.count(&standing, member.canary, false);
        }
        if let Some(place) = member.place.take() {
            self.queue.remove(&place);
        }
        let standing = judge(host, &member.keys, &self.measure, member.lost, member.released);
        member.standing = Some(standing);
        member.canary = self.is_canary(host);
        self.sums.count(&standing, member.canary, true);
        if let Some(want) = standing.wants {
            let place = self.place(host, &member, want);
            self.queue.insert(place.clone());
            member.place = Some(place);
        }
        set(&mut self.holders, host, member.keys.permit.is_some());
        set(&mut self.returned, host, member.has_returned());
        self.note_silence(host, &mut member, before, now, watched);
        let votes = vote_of(&member);
        if former != votes {
            self.revote(host, former, votes);
        }
        self.members.insert(host.clone(), member);
        true
    }

    fn note_silence(
        &mut self,
        host: &HostName,
        member: &mut Member,
        before: Option<Standing>,
        now: BootTime,
        watched: bool,
    ) {
        let Some(standing) = member.standing else { return };
        // A permit without a record was left behind by a host that went away.
        let silent =
            standing.silent || !standing.member && !member.keys.alive && member.keys.permit.is_some();
        let was_live = before.is_some_and(|before| before.live);
        set(&mut self.silent, host, silent);
        if silent {
            member.silent_since.get_or_insert(now);
            if was_live && standing.member {
                let live = usize::try_from(self.sums.live).unwrap_or(usize::MAX);
                self.silence.fell(host, live, now, self.ttl);
            }
        } else {
            member.silent_since = None;
            member.released = false;
            let returns = !was_live && (standing.live || !standing.member);
            if returns && self.silence.back(host) {
                self.restart_clocks(now);
            }
        }
        let runs = member.keys.record.as_deref().is_some_and(|record| may_run(record.state));
        let fell_after_success = standing.done && self.watches_done && !member.lost && (was_live || watched);
        let suspect =
            silent && (member.keys.permit.is_some() || runs && !member.released || fell_after_success);
        set(&mut self.suspects, host, suspect);
    }

    fn place(&self, host: &HostName, member: &Member, want: Want) -> QueuePlace {
        let canary = member.canary;
        let record = member.keys.record.as_deref();
        let failures = record.map_or(0, |record| record.failures);
        let minutes = record.map_or(0, |record| record.since.as_second().div_euclid(60));
        let swap = want == Want::Swap;
        let chance = self.chance(host);
        QueuePlace {
            order: (Reverse(swap), Reverse(canary), failures, minutes, chance),
            host: host.clone(),
            want,
            canary,
        }
    }

    /// Whether a live member's terms name it as one that goes first.
    pub fn is_canary(&self, host: &HostName) -> bool {
        let named = |terms: &Arc<Terms>| !terms.canary.is_empty() && terms.canary.names(&host.to_string());
        self.votes.keys().any(named)
    }

    /// FNV-1a of group and host: the same on every conductor.
    fn chance(&self, host: &HostName) -> u64 {
        let group = self.name.as_ref().map_or("", GroupName::as_key);
        let bytes = group.bytes().chain([b'/']).chain(host.as_key().bytes());
        bytes
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    fn revote(&mut self, host: &HostName, before: Option<Ballot>, now: Option<Ballot>) {
        self.votes_changed = true;
        if let Some((terms, target)) = before {
            if let Some(hosts) = self.votes.get_mut(&terms) {
                hosts.remove(host);
                if hosts.is_empty() {
                    self.votes.remove(&terms);
                }
            }
            if let Some(count) = self.targets.get_mut(&target) {
                *count -= 1;
                if *count == 0 {
                    self.targets.remove(&target);
                }
            }
        }
        if let Some((terms, target)) = now {
            self.votes.entry(terms).or_default().insert(host.clone());
            *self.targets.entry(target).or_default() += 1;
        }
    }
}

type Ballot = (Arc<Terms>, Arc<str>);

/// What a live member votes for.
fn vote_of(member: &Member) -> Option<Ballot> {
    let record = member.keys.record.as_deref().filter(|_| member.keys.alive)?;
    (record.state != HostState::Conflict).then(|| (Arc::clone(&record.terms), Arc::clone(&record.target)))
}

fn set(hosts: &mut BTreeSet<HostName>, host: &HostName, is: bool) {
    if is {
        if !hosts.contains(host) {
            hosts.insert(host.clone());
        }
    } else {
        hosts.remove(host);
    }
}
