//! At most so many actions at once, whichever daemon is killed.

use serde_json::Value;

use super::hosts::{Fleet, HELD, HOSTS, Line, on_both_stores};
use crate::fixture::daemon::until;
use crate::fixture::etcd::Etcd;

on_both_stores! {
    one_at_a_time
    two_at_a_time
}

fn at_most(url: &str, limit: usize) {
    // The actions go on only once as many as the limit allows have started.
    let action = format!(
        "until test $(grep -c ^start WITNESS) -ge {limit}; do sleep 0.05; done; test $TWITCHER_PERMIT -gt 0"
    );
    let fleet = Fleet::start(url, &format!("max_parallel = {limit}"), &action);
    for value in ["second", "third"] {
        let version = fleet.put(value);
        fleet.until_all_have(&version);
        assert_eq!(fleet.started(&version), HOSTS, "each host acts once");
    }
    assert_eq!(fleet.overlap(), limit, "as many at once as may be");
}

fn one_at_a_time(url: &str) {
    at_most(url, 1);
}

fn two_at_a_time(url: &str) {
    at_most(url, 2);
}

/// The action goes on, and the next daemon adopts it. No other host acts beside it, even if the daemon was killed
/// before the start was in its ledger.
#[test]
fn a_killed_holder_keeps_its_permit() {
    for is_recorded in [true, false] {
        let etcd = Etcd::start();
        let mut fleet = Fleet::start(&etcd.url(), "", HELD);
        let version = fleet.version();
        let host = until("an action", || fleet.lines(&version).first().map(|line| line.host));
        let ledger = fleet.daemons[host].path("state/ledger");
        until("the record of the start", || {
            std::fs::read_to_string(&ledger).unwrap().contains("\"live\"").then_some(())
        });
        fleet.daemons[host].kill();
        if !is_recorded {
            std::fs::write(&ledger, without_live(&std::fs::read_to_string(&ledger).unwrap())).unwrap();
        }
        fleet.daemons[host].run();
        fleet.daemons[host].until_watch("git", |watch| watch["state"] == "running");
        fleet.stays_at(&version, 1);
        fleet.let_all_go_on();
        fleet.until_all_have(&version);
        assert_eq!(fleet.overlap(), 1);
    }
}

/// A journal as it was before a start was recorded.
fn without_live(journal: &str) -> String {
    let lines = journal.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if let Some(watch) = line["watch"].as_object_mut() {
            watch.remove("live");
            watch.remove("newest_run");
        }
        line.to_string() + "\n"
    });
    lines.collect()
}

#[test]
fn another_one_conducts_where_the_conductor_is_killed() {
    let etcd = Etcd::start();
    let mut fleet = Fleet::start(&etcd.url(), "", HELD);
    let acting = |fleet: &Fleet| {
        until("an action", || {
            let lines = fleet.lines(&fleet.version());
            lines.last().filter(|line| line.is_start).map(|line| line.host)
        })
    };
    let conductor = fleet.conductor();
    // Its own action would be lost with it, and a lost action stops the rollout.
    if acting(&fleet) == conductor {
        fleet.let_go_on(conductor);
        until("another host's action", || (acting(&fleet) != conductor).then_some(()));
    }
    let mut killed = fleet.daemons.remove(conductor);
    killed.kill();
    fleet.let_all_go_on();
    let version = fleet.version();
    fleet.until_all_have(&version);
    killed.run();
    fleet.daemons.push(killed);
    fleet.until_all_have(&version);
    assert_eq!(fleet.overlap(), 1);
}

#[test]
fn nothing_starts_while_the_store_is_away() {
    let mut etcd = Etcd::start();
    let fleet = Fleet::start(&etcd.url(), "", HELD);
    let version = fleet.version();
    fleet.until_started(&version, 1);
    etcd.kill();
    fleet.let_all_go_on();
    let ended = |lines: &[Line]| lines.iter().filter(|line| !line.is_start).count();
    until("that action to end", || (ended(&fleet.lines(&version)) > 0).then_some(()));
    fleet.stays_at(&version, 1);
    etcd.start_again();
    fleet.until_all_have(&version);
    assert_eq!(fleet.overlap(), 1);
}

#[test]
fn a_failure_stops_the_rollout() {
    let etcd = Etcd::start();
    let fleet = Fleet::start(&etcd.url(), "", "! grep -q bad");
    let version = fleet.put("bad");
    until("the rollout to stop", || (fleet.key("rollout")?["state"] == "stopped").then_some(()));
    assert_eq!(fleet.started(&version), 1, "one host, and no other");
    let version = fleet.put("good");
    fleet.until_all_have(&version);
}

/// Daemons that end leave no permit behind, and are not waited for.
#[test]
fn a_daemon_that_stops_is_down() {
    let etcd = Etcd::start();
    let mut fleet = Fleet::start(&etcd.url(), "", "true");
    let version = fleet.put("second");
    fleet.until_all_have(&version);
    let mut stopped = fleet.daemons.remove(0);
    assert!(stopped.stop().success());
    assert_eq!(fleet.key("hosts/h0").unwrap()["state"], "down");
    assert!(fleet.key("alive/h0").is_none());
    let version = fleet.put("third");
    fleet.until_all_have(&version);
    assert_eq!(fleet.started(&version), HOSTS - 1);
    drop(stopped);
}
