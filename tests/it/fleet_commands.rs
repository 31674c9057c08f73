//! `twitcher fleet` against records of a fleet that is not there: every state, orders, garbage, stores away.

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use twitcher::internals::fleet::record::{
    Alive, ConductorRecord, ControlRecord, HostRecord, HostState, Instance, Last, LastOutcome, Permit,
    Record, Rest, Rollout, RolloutState,
};
use twitcher::internals::fleet::terms::{InForce, MaxParallel, Share, Terms};
use twitcher::internals::fleet::{HostName, Revision, StateId, TenureId};
use twitcher::store::{Condition, Store};
use twitcher::watch::{Content, Key, Version};

use crate::fixture::etcd::Etcd;
use crate::fixture::program::{good, run};
use crate::fixture::zookeeper::ZooKeeper;

const GROUP: &str = "/twitcher/fleet/git";
const HOSTS: usize = 50;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn inst() -> Instance {
    Instance::try_from("l/b/i/n".to_owned()).unwrap()
}

fn host(number: usize) -> String {
    format!("web-{number:02}")
}

/// A group of 50 hosts: ten each converged, asking, failed, behind and silent; two of those that ask act under permits.
struct Fleet {
    url: String,
    store: Store,
    runtime: tokio::runtime::Runtime,
    id: StateId,
    old: StateId,
}

impl Fleet {
    fn on(url: String) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let store = runtime.block_on(Store::connect(&url)).unwrap();
        let put = |value: &str| {
            let head = key("/git/head");
            let written = store.put(&head, Bytes::from(value.to_owned()), Condition::Any);
            let version = runtime.block_on(written).unwrap();
            StateId::new(version, &Content::Value(Bytes::from(value.to_owned())))
        };
        let (old, id) = (put("a"), put("b"));
        let fleet = Self { url, store, runtime, id, old };
        fleet.rollout(RolloutState::Rolling);
        let rest = Rest::default;
        let conductor = ConductorRecord {
            host: HostName::new(&host(0)).unwrap(),
            inst: inst(),
            since: Timestamp::now(),
            rest: rest(),
        };
        fleet.put("conductor", &conductor.encode().unwrap());
        for number in 0..HOSTS {
            let (state, applied) = match number {
                0..10 => (HostState::Converged, Some(id)),
                10..12 => (HostState::Running, Some(old)),
                12..20 => (HostState::Asking, Some(old)),
                20..30 => (HostState::Failed, Some(old)),
                _ => (HostState::Behind, Some(old)),
            };
            fleet.host(number, state, applied);
            if number < 40 {
                let alive = Alive { inst: inst(), tenure: TenureId(1), rest: rest() };
                fleet.put(&format!("alive/{}", host(number)), &alive.encode().unwrap());
            }
            if state == HostState::Running {
                let permit = Permit {
                    id: format!("1-{number}").parse().unwrap(),
                    state: id,
                    control: Some(Revision(0)),
                    retry: false,
                    hold: None,
                    deadline: None,
                    rest: rest(),
                };
                fleet.put(&format!("permits/{}", host(number)), &permit.encode().unwrap());
            }
        }
        fleet
    }

    fn put(&self, path: &str, value: &[u8]) -> Version {
        let value = Bytes::copy_from_slice(value);
        self.runtime
            .block_on(self.store.put(&key(&format!("{GROUP}/{path}")), value, Condition::Any))
            .unwrap()
    }

    fn delete(&self, path: &str) {
        self.runtime.block_on(self.store.delete(&key(&format!("{GROUP}/{path}")), Condition::Any)).unwrap();
    }

    fn control(&self) -> Option<ControlRecord> {
        let entry = self.runtime.block_on(self.store.get(&key(&format!("{GROUP}/control")))).unwrap()?;
        ControlRecord::decode(&entry.value.unwrap()).ok()
    }

    fn rollout(&self, state: RolloutState) {
        let terms = Terms { max_parallel: MaxParallel::Share(Share::Percent(10)), ..Terms::default() };
        let rollout = Rollout {
            epoch: 1,
            id: Some(self.id),
            state,
            wave: 1,
            of: 1,
            base: 40,
            terms: Some(InForce { terms, ..InForce::default() }),
            target: Some("data /git/head".into()),
            started: Some(Timestamp::now()),
            since: Some(Timestamp::now()),
            ..Rollout::default()
        };
        self.put("rollout", &rollout.encode().unwrap());
    }

    fn host(&self, number: usize, state: HostState, applied: Option<StateId>) {
        let failed = state == HostState::Failed;
        let permit = (state == HostState::Running).then(|| format!("1-{number}").parse().unwrap());
        let terms = Terms { max_parallel: MaxParallel::Share(Share::Percent(10)), ..Terms::default() };
        let record = HostRecord {
            inst: inst(),
            machine: "m".to_owned(),
            state,
            why: None,
            seen: Some(self.id),
            applied,
            permit,
            back: None,
            swap: false,
            since: Timestamp::now(),
            limit: Duration::from_mins(1),
            attempt: u32::from(failed),
            failures: u32::from(failed),
            last: failed.then_some(Last { outcome: LastOutcome::Failed, exit_code: Some(7) }),
            terms: Arc::new(terms),
            target: "data /git/head".into(),
            rest: Rest::default(),
        };
        self.put(&format!("hosts/{}", host(number)), &record.encode().unwrap());
    }

    fn run(&self, args: &[&str]) -> Output {
        run(&self.url, &[&["fleet"], args].concat())
    }

    fn good(&self, args: &[&str]) -> String {
        good(&self.url, &[&["fleet"], args].concat())
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[args, &["--json"]].concat())).unwrap()
    }

    #[track_caller]
    fn exits(&self, args: &[&str], status: i32, says: &str) {
        let output = self.run(args);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
    }
}

fn every_state_is_shown(fleet: &Fleet) {
    let status = fleet.json(&["status", "git"]);
    assert_eq!((&status["group"], &status["key"]), (&"git".into(), &"/git/head".into()), "{status}");
    assert_eq!((&status["state"], &status["converged"]), (&"rolling".into(), &false.into()));
    assert_eq!(status["permits"], serde_json::json!({ "held": 2, "limit": 4 }));
    let expected = serde_json::json!({
        "members": 50, "converged": 10, "acting": 2, "asking": 8, "behind": 20, "failed": 10, "conflict": 0,
        "silent": 10, "down": 0, "over": 0
    });
    assert_eq!(status["hosts"], expected);
    assert_eq!(status["failures"][0]["exit_code"], 7);
    assert_eq!(fleet.json(&["status"])["groups"][0]["group"], "git");
    let text = fleet.good(&["status", "/git/head"]);
    assert!(text.contains("rolling, wave 1 of 1 (all): 10 of 50 converged"), "{text}");
    let failed = fleet.json(&["hosts", "git", "--state", "failed"]);
    assert_eq!(failed["hosts"].as_array().unwrap().len(), 10);
    assert_eq!(failed["hosts"][0]["why"], "exit code 7");
    assert_eq!(fleet.json(&["hosts", "git", "--state", "silent"])["hosts"].as_array().unwrap().len(), 10);
    assert_eq!(fleet.good(&["hosts", "git", "--order"]).lines().count(), HOSTS);
    fleet.exits(&["status", "gti"], 1, "known are git");
    fleet.exits(&["hosts", "gti"], 1, "known are git");
    fleet.exits(&["hosts", "git", "--state", "nope"], 2, "");
}

fn orders_are_written_and_unknown_groups_get_none(fleet: &Fleet) {
    fleet.exits(&["pause", "gti"], 1, "no group of a fleet is called gti");
    assert_eq!(fleet.control(), None);
    fleet.good(&["pause", "git", "--reason", "lunch"]);
    let paused = fleet.control().unwrap().paused.unwrap();
    assert_eq!((paused.number, paused.reason.as_deref()), (1, Some("lunch")));
    assert_eq!(fleet.json(&["status", "git"])["state"], "paused");
    fleet.good(&["resume", "/git/head"]);
    let control = fleet.control().unwrap();
    assert!(control.paused.is_none() && control.resumed.unwrap().number == 1);
    fleet.good(&["retry", "git", "web-20", "web-21"]);
    assert_eq!(fleet.control().unwrap().retry.unwrap().hosts.len(), 2);
    fleet.exits(&["retry", "git", "nobody"], 1, "nobody is no host");
    fleet.good(&["set", "git", "max_parallel=20%", "--for", "1h"]);
    let set = fleet.control().unwrap().set.unwrap();
    assert_eq!((set.max_parallel, set.lasts), (Share::Percent(20), Some(Duration::from_hours(1))));
    for wrong in ["max_parallel=unlimited", "max_parallel=0", "max_parallel", "soak=1"] {
        fleet.exits(&["set", "git", wrong], 2, "write max_parallel=5");
    }
    fleet.good(&["unset", "git", "max_parallel"]);
    assert_eq!(fleet.control().unwrap().set, None);
    fleet.good(&["promote", "git"]);
    assert_eq!(fleet.control().unwrap().promoted.unwrap().version, fleet.id.version);
    fleet.good(&["abort", "git"]);
    assert_eq!(fleet.control().unwrap().aborted.unwrap().version, fleet.id.version);
    assert_eq!(fleet.json(&["status", "git"])["state"], "aborted");
    fleet.exits(&["resume", "git"], 1, "put a newer one");
    let long = "x".repeat(2000);
    fleet.exits(&["pause", "git", "--reason", &long], 1, "too long");
    fleet.delete("control");
}

fn garbage_is_survived(fleet: &Fleet) {
    fleet.put("hosts/garbage", b"\xff\x00{");
    fleet.put("control", &vec![b'x'; 900_000]);
    fleet.put("summary", b"[]");
    fleet.put("permits/web-13", b"?");
    let status = fleet.json(&["status", "git"]);
    assert_eq!((&status["state"], &status["hosts"]["members"]), (&"paused".into(), &51.into()), "{status}");
    assert!(status["why"].as_str().unwrap().contains("control cannot be read"));
    fleet.good(&["pause", "git"]);
    assert!(fleet.control().unwrap().paused.is_some(), "the order took its place");
    fleet.put("control", br#"{"format":2,"paused":true}"#);
    fleet.exits(&["resume", "git"], 1, "of format 2");
    fleet.delete("control");
    fleet.delete("permits/web-13");
    fleet.exits(&["forget", "git", "garbage"], 0, "forgot garbage");
}

fn wait_tells_how_it_ended(fleet: &Fleet) {
    fleet.exits(&["wait", "nobody", "--timeout", "1s"], 5, "nothing to wait for");
    fleet.exits(&["wait", "git", "--timeout", "1s"], 4, "missing: web-10");
    fleet.exits(&["wait", "git", "--allow-missing", "80%"], 0, "enough of 50");
    let old = fleet.old.version.to_string();
    fleet.exits(&["wait", "git", "--version", &old], 0, "all 50 have it");
    fleet.good(&["pause", "git"]);
    fleet.exits(&["wait", "git", "--timeout", "1s"], 4, "");
    for number in 10..12 {
        fleet.host(number, HostState::Asking, Some(fleet.old));
        fleet.delete(&format!("permits/{}", host(number)));
    }
    fleet.exits(&["wait", "git"], 3, "paused at 10 of 50");
    fleet.delete("control");
    fleet.rollout(RolloutState::Stopped);
    fleet.exits(&["wait", "/git/head"], 3, "stopped at 10 of 50, 10 failed: web-20");
    for number in 0..HOSTS {
        fleet.host(number, HostState::Converged, Some(fleet.id));
    }
    fleet.rollout(RolloutState::Done);
    fleet.exits(&["wait", "git"], 0, "all 50 have it");
}

fn forget_drops_only_who_is_gone(fleet: &Fleet) {
    fleet.exits(&["forget", "git", "web-01"], 1, "it lives");
    fleet.exits(&["forget", "git", "web-11"], 1, "it lives");
    fleet.exits(&["forget", "git"], 2, "");
    fleet.exits(&["forget", "git", "--silent", "7d"], 0, "no host has been silent for that long");
    fleet.exits(&["forget", "git", "--silent", "0s"], 0, "forgot web-40");
    assert_eq!(fleet.json(&["status", "git"])["hosts"]["members"], 40);
    fleet.exits(&["forget", "git", "web-11", "--force"], 0, "forgot web-11");
    assert_eq!(fleet.json(&["status", "git"])["permits"]["held"], 1);
}

#[test]
fn the_commands_work_on_etcd() {
    let etcd = Etcd::start();
    let fleet = Fleet::on(etcd.url());
    every_state_is_shown(&fleet);
    orders_are_written_and_unknown_groups_get_none(&fleet);
    garbage_is_survived(&fleet);
    wait_tells_how_it_ended(&fleet);
}

#[test]
fn the_commands_work_on_zookeeper() {
    let server = ZooKeeper::start();
    let fleet = Fleet::on(server.url());
    every_state_is_shown(&fleet);
    orders_are_written_and_unknown_groups_get_none(&fleet);
    garbage_is_survived(&fleet);
    wait_tells_how_it_ended(&fleet);
}

#[test]
fn hosts_that_are_gone_are_forgotten() {
    let etcd = Etcd::start();
    forget_drops_only_who_is_gone(&Fleet::on(etcd.url()));
    let server = ZooKeeper::start();
    forget_drops_only_who_is_gone(&Fleet::on(server.url()));
}

#[test]
fn a_store_that_is_away_or_a_directory_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("dir://{}", directory.path().display());
    let says = |url: &str, args: &[&str], says: &str| {
        let output = run(url, args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(says), "{error}");
    };
    for args in [&["fleet", "status"][..], &["fleet", "wait", "git"], &["fleet", "pause", "git"]] {
        says(&url, args, "a fleet of one");
    }
    says("etcd://127.0.0.1:1", &["fleet", "status"], "127.0.0.1:1");
    let output = run("etcd://127.0.0.1:1", &["fleet", "wait", "git", "--timeout", "1s"]);
    assert_eq!(output.status.code(), Some(1), "cannot tell");
}
