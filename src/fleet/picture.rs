//! A group as any reader of its keys sees it, judged as its conductor judges it.

use std::sync::Arc;
use std::time::Duration;

use super::conduct::group::Group;
use super::record::{ConductorRecord, FailureKind, Rollout, RolloutState, Summary, Twin};
use super::terms::MaxParallel;
use super::view::{GroupState, Measure, Orders, ShownState};
use super::{BootTime, GroupKey, GroupName, HostName, KeyState, StateId, StateIdentity, Value, target};
use crate::watch::{Key, WatchType};

/// All keys of a group.
#[derive(Debug)]
pub struct Picture {
    /// Its name.
    pub name: GroupName,
    /// Every host and how it stands.
    pub group: Group,
    /// How far the newest version is.
    pub rollout: Rollout,
    /// The conductor's counts.
    pub summary: Option<Arc<Summary>>,
    /// Who conducts.
    pub conductor: Option<Arc<ConductorRecord>>,
    /// What operators ordered.
    pub orders: Orders,
    /// Daemons that were refused their host's name.
    pub twins: Vec<(HostName, Arc<Twin>)>,
    /// A later version of twitcher wrote some key.
    pub has_later: bool,
}

impl Picture {
    /// Of these keys, in any order.
    pub fn new(name: GroupName, entries: &[(GroupKey, KeyState)]) -> Self {
        let mut picture = Self {
            group: Group::new(name.clone(), Duration::ZERO),
            name,
            rollout: Rollout::default(),
            summary: None,
            conductor: None,
            orders: Orders::default(),
            twins: Vec::new(),
            has_later: false,
        };
        for (key, entry) in entries {
            picture.take_in(key, entry);
        }
        picture.judge();
        picture
    }

    fn take_in(&mut self, key: &GroupKey, entry: &KeyState) {
        let (at, value, now) = (entry.at, entry.value.as_ref(), BootTime::default());
        self.has_later |= value == Some(&Value::Later);
        match (key, value) {
            (GroupKey::Host(host), _) => drop(self.group.record(host, at, value, now)),
            (GroupKey::Alive(host), _) => drop(self.group.alive(host, at, value.is_some(), now)),
            (GroupKey::Permit(host), _) => drop(self.group.permit(host, at, value, now)),
            (GroupKey::Twin(host, _), Some(Value::Twin(twin))) => {
                self.twins.push((host.clone(), Arc::clone(twin)));
            }
            (GroupKey::Rollout, Some(Value::Rollout(rollout))) => self.rollout = (**rollout).clone(),
            (GroupKey::Summary, Some(Value::Summary(summary))) => self.summary = Some(Arc::clone(summary)),
            (GroupKey::Conductor, Some(Value::Conductor(conductor))) => {
                self.conductor = Some(Arc::clone(conductor));
            }
            (GroupKey::Control, Some(Value::Control(control))) => {
                self.orders = Orders { at, control: Arc::clone(control), unreadable: false };
            }
            (GroupKey::Control, Some(_)) => {
                self.orders = Orders { at, unreadable: true, ..Orders::default() }
            }
            (
                GroupKey::Twin(..)
                | GroupKey::Rollout
                | GroupKey::Summary
                | GroupKey::Conductor
                | GroupKey::Control,
                _,
            ) => {}
        }
    }

    fn judge(&mut self) {
        let now = BootTime::default();
        let target = self.rollout.target.clone().or_else(|| self.group.target());
        let in_force = self.rollout.terms.clone().or_else(|| self.group.terms(self.group.sums.live));
        let watch_type = target.as_deref().and_then(target::parse).map(|(watch_type, _)| watch_type);
        let retry = self.orders.control.retry.as_ref();
        self.group.measure = Measure {
            id: self.rollout.id.or_else(|| self.highest_seen()),
            identity: watch_type.map_or(StateIdentity::Data, StateIdentity::of),
            target,
            limited: in_force.is_none_or(|in_force| in_force.terms.max_parallel != MaxParallel::Unlimited),
            resumed: self.rollout.resumed,
            retried: self.rollout.retried,
            retry_hosts: retry.map(|order| order.hosts.clone()).unwrap_or_default(),
        };
        self.group.judge_all(now);
        for failure in self.rollout.failures.clone() {
            if failure.outcome == FailureKind::Lost {
                self.group.set_lost(&failure.host, true, now);
            }
        }
    }

    /// The highest state that a member has seen.
    pub fn highest_seen(&self) -> Option<StateId> {
        let records = self.group.members.values().filter_map(|member| member.keys.record.as_deref());
        records
            .filter_map(|record| record.seen)
            .reduce(|highest, state| if highest.version.is_before(state.version) { state } else { highest })
    }

    /// What most members watch.
    pub fn target(&self) -> Option<(WatchType, Key)> {
        target::parse(self.group.measure.target.as_deref()?)
    }

    /// Whether hosts act under permits.
    pub fn is_limited(&self) -> bool {
        self.group.measure.limited
    }

    /// How it is, in one word. What waits for a person comes first.
    pub fn state(&self) -> GroupState {
        if self.is_limited() && self.orders.aborts(self.group.measure.id) {
            return GroupState::Aborted;
        }
        let state = GroupState::of(self.rollout.state, &self.orders);
        let waits_for_a_person =
            matches!(state, GroupState::Aborted | GroupState::Stopped | GroupState::Paused);
        let has_no_conductor = self.conductor.is_none() && self.group.sums.counts.members > 0;
        if has_no_conductor && !waits_for_a_person { GroupState::Unconducted } else { state }
    }

    /// Hosts that may be at work: a silent one only while it has its permit.
    pub fn acting(&self) -> usize {
        let members = self.group.members.values();
        let acts = |member: &&super::conduct::group::Member| {
            member.standing().is_some_and(|standing| {
                matches!(standing.shown, ShownState::Granted | ShownState::Running | ShownState::Retrying)
                    && !(standing.silent && member.keys.permit.is_none())
            })
        };
        members.filter(acts).count()
    }

    /// The open wave is that of the canaries, and none of them is alive.
    pub fn is_canary_dead(&self) -> bool {
        let terms = self.rollout.terms.as_ref().map(|in_force| &in_force.terms);
        terms.is_some_and(|terms| !terms.canary.is_empty())
            && self.is_limited()
            && self.rollout.state == RolloutState::Rolling
            && self.rollout.wave == 1
            && self.group.sums.canaries == 0
            && !self.orders.promotes(self.rollout.id)
    }
}
