//! Why a host that asks for a permit does not act yet: the sentence of `twitcher explain`.

use std::time::Duration;

use jiff::Timestamp;

use super::HostName;
use super::picture::Picture;
use super::record::Order;
use super::terms::permits;
use super::view::{GroupState, ShownState};
use crate::status::counted;

/// Failed hosts that are named.
const NAMED: usize = 3;

impl Picture {
    /// Why this host, which asks for a permit, has none: what waits for a person first.
    pub fn explain(&self, host: &HostName, now: Timestamp) -> String {
        let group = &self.name;
        let member = self.group.members.get(host);
        let standing = member.and_then(|member| member.standing());
        if standing.is_some_and(|standing| standing.shown == ShownState::Conflict) {
            return format!(
                "this host is in conflict with the others; `twitcher fleet hosts {group} --state conflict` says why"
            );
        }
        match self.state() {
            GroupState::Paused => self.paused(now),
            GroupState::Aborted => {
                let by = self.orders.control.aborted.as_ref();
                let by = by
                    .map(|order| format!(" by {} {} ago", order.by, ago(order.at, now)))
                    .unwrap_or_default();
                format!("its version was aborted{by} and starts nowhere any more, until a newer one is put")
            }
            GroupState::Stopped => self.stopped(),
            GroupState::Unconducted => {
                "nobody conducts the group: nothing starts until a host with `conduct = true` is there"
                    .to_owned()
            }
            GroupState::Soaking => {
                let soak =
                    self.rollout.terms.as_ref().map(|in_force| in_force.terms.soak).unwrap_or_default();
                let passed = self.rollout.since.map(|since| now.duration_since(since).unsigned_abs());
                let left = soak.saturating_sub(passed.unwrap_or_default());
                format!("{} soaks for {} more", self.open_wave(), span(left))
            }
            GroupState::Idle | GroupState::Rolling | GroupState::Done if self.is_canary_dead() => {
                format!("no canary is alive; `twitcher fleet promote {group}` goes on without them")
            }
            GroupState::Idle | GroupState::Rolling | GroupState::Done => self.queued(host),
        }
    }

    fn paused(&self, now: Timestamp) -> String {
        let group = &self.name;
        match &self.orders.control.paused {
            Some(Order { by, at, reason, .. }) => {
                let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
                format!(
                    "the fleet was paused by {by} {} ago{reason}; `twitcher fleet resume {group}` ends that",
                    ago(*at, now)
                )
            }
            None => format!(
                "the fleet's orders cannot be read, which counts as a pause; `twitcher fleet resume {group}` replaces them"
            ),
        }
    }

    fn stopped(&self) -> String {
        let group = &self.name;
        let failed = self.group.members.iter().filter(|(_, member)| {
            member.standing().is_some_and(|standing| standing.failing || standing.shown == ShownState::Failed)
        });
        let failed: Vec<String> = failed.map(|(host, _)| host.to_string()).collect();
        let named = failed.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = if failed.len() > NAMED { ", …" } else { "" };
        let who = match failed.len() {
            0 => String::new(),
            count => format!(": {} failed ({named}{more})", counted(count, "host", "hosts")),
        };
        format!("the fleet is stopped{who}; `twitcher fleet resume {group}` lets it go on")
    }

    /// Nothing holds the group up: others are first.
    fn queued(&self, host: &HostName) -> String {
        let mut parts = Vec::new();
        let summary = self.summary.as_ref().filter(|summary| summary.id == self.rollout.id);
        if let Some(why) = summary.and_then(|summary| summary.why.clone()) {
            parts.push(why);
        }
        let limit = self.rollout.terms.as_ref();
        if let Some(limit) = limit.map(|in_force| permits(in_force.terms.max_parallel, self.rollout.base)) {
            let held = self.group.holders.len();
            parts.push(format!("{held} of {limit} {} held", if limit == 1 { "is" } else { "are" }));
        }
        match self.group.queue.iter().position(|place| place.host == *host) {
            Some(0) => parts.push("this host is next".to_owned()),
            Some(1) => parts.push("1 host is before it".to_owned()),
            Some(before) => parts.push(format!("{before} hosts are before it")),
            None => parts.push("its ask is not in the store yet".to_owned()),
        }
        if self.rollout.of > 1 && self.rollout.wave > 0 {
            parts.push(format!("{} is open", self.open_wave()));
        }
        parts.join("; ")
    }

    /// `wave 2 of 3`, `wave 1 of 3 (canaries)`.
    fn open_wave(&self) -> String {
        let rollout = &self.rollout;
        let has_canaries = rollout.terms.as_ref().is_some_and(|in_force| !in_force.terms.canary.is_empty());
        let canaries = if has_canaries && rollout.wave == 1 { " (canaries)" } else { "" };
        format!("wave {} of {}{canaries}", rollout.wave, rollout.of)
    }
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    span(Duration::try_from(now.duration_since(at)).unwrap_or_default())
}

/// A duration in its two largest units: `3m 12s`, `2h 5m`.
fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: u64, one: &str, small: u64, other: &str| match small {
        0 => format!("{large}{one}"),
        _ => format!("{large}{one} {small}{other}"),
    };
    match () {
        () if days > 0 => two(days, "d", hours % 24, "h"),
        () if hours > 0 => two(hours, "h", minutes % 60, "m"),
        () if minutes > 0 => two(minutes, "m", seconds % 60, "s"),
        () => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fleet::record::{
        Alive, ConductorRecord, ControlRecord, HostRecord, HostState, Instance, Permit, Rest, Rollout,
        RolloutState, VersionOrder,
    };
    use crate::fleet::terms::{InForce, Share, Terms, Vote, meet};
    use crate::fleet::{GroupKey, GroupName, KeyState, PermitId, Revision, StateId, TenureId, Value};
    use crate::watch::Version;

    fn state() -> StateId {
        StateId { version: Version::Revision(1042), digest: 1 }
    }

    fn host(name: &str) -> HostName {
        HostName::new(name).unwrap()
    }

    fn inst() -> Instance {
        Instance::try_from("l/b/i/n".to_owned()).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_second(10_000).unwrap()
    }

    fn before(seconds: i64) -> Timestamp {
        Timestamp::from_second(10_000 - seconds).unwrap()
    }

    /// Five live hosts: a acts, b failed, c, d and e ask.
    struct Scene {
        terms: Terms,
        rollout: Rollout,
        control: ControlRecord,
        conducted: bool,
    }

    impl Scene {
        fn new(terms: Terms) -> Self {
            let rollout = Rollout {
                id: Some(state()),
                state: RolloutState::Rolling,
                wave: 1,
                of: 1,
                base: 5,
                since: Some(before(120)),
                ..Rollout::default()
            };
            Self { terms, rollout, control: ControlRecord::default(), conducted: true }
        }

        fn explain(&self, name: &str) -> String {
            let terms = Arc::new(self.terms.clone());
            let in_force: Option<InForce> = meet(&[Vote { terms: &terms, hosts: 5, host: &host("a") }], 5);
            let mut keys = vec![
                (
                    GroupKey::Rollout,
                    Value::Rollout(Arc::new(Rollout { terms: in_force, ..self.rollout.clone() })),
                ),
                (GroupKey::Control, Value::Control(Arc::new(self.control.clone()))),
            ];
            if self.conducted {
                let record = ConductorRecord {
                    host: host("a"),
                    inst: inst(),
                    since: before(900),
                    rest: Rest::default(),
                };
                keys.push((GroupKey::Conductor, Value::Conductor(Arc::new(record))));
            }
            let permit = PermitId { epoch: 1, number: 1 };
            for (name, state_of, failures) in [
                ("a", HostState::Running, 0),
                ("b", HostState::Failed, 1),
                ("c", HostState::Asking, 0),
                ("d", HostState::Asking, 0),
                ("e", HostState::Asking, 0),
            ] {
                let record = HostRecord {
                    inst: inst(),
                    machine: name.to_owned(),
                    state: state_of,
                    why: None,
                    seen: Some(state()),
                    applied: None,
                    permit: (name == "a").then_some(permit),
                    back: None,
                    swap: false,
                    since: Timestamp::from_second(i64::from(name.as_bytes()[0]) * 60).unwrap(),
                    limit: Duration::from_mins(1),
                    attempt: 1,
                    failures,
                    last: None,
                    terms: Arc::clone(&terms),
                    target: "data /git/head".into(),
                    rest: Rest::default(),
                };
                let alive = Alive { inst: inst(), tenure: TenureId(1), rest: Rest::default() };
                keys.push((GroupKey::Host(host(name)), Value::Host(Arc::new(record))));
                keys.push((GroupKey::Alive(host(name)), Value::Alive(Arc::new(alive))));
            }
            let granted = Permit {
                id: permit,
                state: state(),
                control: Some(Revision(1)),
                retry: false,
                hold: None,
                deadline: None,
                rest: Rest::default(),
            };
            keys.push((GroupKey::Permit(host("a")), Value::Permit(Arc::new(granted))));
            let entries: Vec<(GroupKey, KeyState)> = keys
                .into_iter()
                .map(|(key, value)| (key, KeyState { at: Revision(1), value: Some(value) }))
                .collect();
            Picture::new(GroupName::new("git").unwrap(), &entries).explain(&host(name), now())
        }
    }

    fn order(at: i64, reason: Option<&str>) -> Order {
        let reason = reason.map(str::to_owned);
        Order { number: 1, hosts: Vec::new(), by: "alice@web-1".to_owned(), at: before(at), reason }
    }

    #[test]
    fn a_host_that_is_not_next_hears_who_is_before_it() {
        let scene = Scene::new(Terms::default());
        assert_eq!(scene.explain("c"), "1 of 1 is held; this host is next");
        assert_eq!(scene.explain("d"), "1 of 1 is held; 1 host is before it");
        assert_eq!(scene.explain("e"), "1 of 1 is held; 2 hosts are before it");
        assert_eq!(scene.explain("x"), "1 of 1 is held; its ask is not in the store yet");
        let mut scene =
            Scene::new(Terms { waves: vec![Share::Count(2), Share::Percent(60)], ..Terms::default() });
        (scene.rollout.wave, scene.rollout.of) = (2, 3);
        assert_eq!(scene.explain("e"), "1 of 1 is held; 2 hosts are before it; wave 2 of 3 is open");
    }

    #[test]
    fn what_holds_the_whole_group_up_is_told_first() {
        let mut scene = Scene::new(Terms { soak: Duration::from_mins(5), ..Terms::default() });
        (scene.rollout.state, scene.rollout.of) = (RolloutState::Soaking, 2);
        assert_eq!(scene.explain("c"), "wave 1 of 2 soaks for 3m more");
        scene.conducted = false;
        assert_eq!(
            scene.explain("c"),
            "nobody conducts the group: nothing starts until a host with `conduct = true` is there"
        );
        scene.control.paused = Some(order(3720, Some("lunch")));
        assert_eq!(
            scene.explain("c"),
            "the fleet was paused by alice@web-1 1h 2m ago (lunch); `twitcher fleet resume git` ends that"
        );
        scene.rollout.state = RolloutState::Stopped;
        assert_eq!(
            scene.explain("c"),
            "the fleet is stopped: 1 host failed (b); `twitcher fleet resume git` lets it go on"
        );
        let version = Version::Revision(1042);
        scene.control.aborted =
            Some(VersionOrder { version, by: "bob".to_owned(), at: before(7), reason: None });
        assert_eq!(
            scene.explain("c"),
            "its version was aborted by bob 7s ago and starts nowhere any more, until a newer one is put"
        );
    }

    #[test]
    fn a_dead_canary_is_named_as_the_reason() {
        let canary = crate::fleet::glob::HostGlobs(vec!["x".to_owned()]);
        let mut scene = Scene::new(Terms { canary, ..Terms::default() });
        scene.rollout.of = 2;
        assert_eq!(
            scene.explain("c"),
            "no canary is alive; `twitcher fleet promote git` goes on without them"
        );
    }
}
