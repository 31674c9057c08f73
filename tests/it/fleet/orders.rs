//! What operators order while hosts act: pause, abort, promote, set, and a trigger without a permit.

use super::hosts::{Fleet, HELD, HOSTS, Setup, on_both_stores};
use crate::fixture::daemon::until;
use crate::fixture::etcd::Etcd;

on_both_stores! {
    a_paused_group_starts_nothing_until_it_is_resumed
    an_aborted_version_never_starts_again
    a_promoted_version_skips_canaries_and_soak
    a_set_limit_overrides_what_hosts_say
    a_trigger_without_a_permit_is_over_the_limit
}

/// All hosts have the first version, and the actions of the next one wait.
fn held(url: &str, terms: &str) -> Fleet {
    let fleet = Fleet::start(url, terms, HELD);
    fleet.let_all_go_on();
    fleet.until_all_have(&fleet.version());
    fleet.hold_all();
    fleet
}

fn a_paused_group_starts_nothing_until_it_is_resumed(url: &str) {
    let fleet = held(url, "");
    let version = fleet.put("second");
    fleet.until_started(&version, 1);
    fleet.fleet(&["pause", "git", "--reason", "lunch"]);
    fleet.let_all_go_on();
    fleet.until_has(fleet.starters(&version)[0], &version);
    fleet.stays_at(&version, 1);
    let status = fleet.status();
    assert_eq!(status["state"], "paused");
    assert!(status["why"].as_str().unwrap().contains("lunch"), "{status}");
    let waits = (0..HOSTS).find(|host| !fleet.starters(&version).contains(host)).unwrap();
    fleet.daemons[waits].until_watch("git", |watch| watch["fleet"]["permit"] == "asked");
    let why = fleet.daemons[waits].say(&["explain", "git"]);
    assert!(why.contains("it waits for its permit: the fleet was paused by "), "{why}");
    assert!(why.contains("ago (lunch); `twitcher fleet resume git` ends that.\n"), "{why}");
    assert_eq!(fleet.try_fleet(&["wait", "git"]).status.code(), Some(3));
    fleet.fleet(&["resume", "git"]);
    fleet.until_all_have(&version);
    assert_eq!(fleet.overlap(), 1);
}

fn an_aborted_version_never_starts_again(url: &str) {
    let fleet = held(url, "max_parallel = 2");
    let version = fleet.put("second");
    fleet.until_started(&version, 2);
    fleet.fleet(&["abort", "git", "--version", &version]);
    fleet.let_all_go_on();
    for host in fleet.starters(&version) {
        fleet.until_has(host, &version);
    }
    fleet.stays_at(&version, 2);
    assert_eq!(fleet.try_fleet(&["wait", "git", "--version", &version]).status.code(), Some(3));
    assert_eq!(fleet.try_fleet(&["resume", "git"]).status.code(), Some(1), "put a newer one");
    let version = fleet.put("third");
    fleet.until_all_have(&version);
}

fn a_promoted_version_skips_canaries_and_soak(url: &str) {
    let fleet = Fleet::start(url, "", "true");
    fleet.until_all_have(&fleet.version());
    let careful = Setup { terms: "canary = ['h0']\nsoak = '10m'\nmax_parallel = 2", ..Setup::default() };
    for daemon in &fleet.daemons {
        daemon.write("git.toml", &fleet.watch(careful));
    }
    until("all to have the new terms", || {
        let status = fleet.status();
        let agreed = status["disagree"] == serde_json::json!([]);
        (agreed && status["terms"]["canary"] == serde_json::json!(["h0"])).then_some(())
    });
    let version = fleet.put("second");
    fleet.until_has(0, &version);
    fleet.until_state("soaking");
    fleet.stays_at(&version, 1);
    fleet.fleet(&["promote", "git"]);
    fleet.until_all_have(&version);
    assert!(fleet.overlap() <= 2, "the limit still holds");
}

fn a_set_limit_overrides_what_hosts_say(url: &str) {
    let fleet = held(url, "");
    let version = fleet.put("second");
    fleet.until_started(&version, 1);
    fleet.fleet(&["set", "git", "max_parallel=3", "--for", "1h"]);
    fleet.until_started(&version, 3);
    fleet.stays_at(&version, 3);
    fleet.fleet(&["unset", "git", "max_parallel"]);
    let first: Vec<usize> = fleet.starters(&version);
    fleet.let_go_on(first[0]);
    fleet.until_has(first[0], &version);
    fleet.stays_at(&version, 3);
    for host in &first {
        fleet.let_go_on(*host);
    }
    fleet.until_started(&version, 4);
    fleet.stays_at(&version, 4);
    fleet.let_all_go_on();
    fleet.until_all_have(&version);
    assert_eq!(fleet.overlap(), 3);
}

fn a_trigger_without_a_permit_is_over_the_limit(url: &str) {
    let fleet = held(url, "");
    let version = fleet.put("second");
    fleet.until_started(&version, 1);
    let acting = fleet.starters(&version)[0];
    let other = (acting + 1) % HOSTS;
    let said = fleet.daemons[other].say(&["trigger", "git", "--without-permit"]);
    assert!(said.contains("without a permit"), "{said}");
    fleet.until_started(&version, 2);
    assert_eq!(fleet.starters(&version), [acting, other]);
    until("the host to be shown as over", || {
        let host = fleet.host(other);
        (host["flags"] == serde_json::json!(["over"]) && host["state"] == "running").then_some(())
    });
    assert_eq!(fleet.status()["hosts"]["over"], 1);
    // It counts against the limit: while it runs, no other host starts.
    fleet.let_go_on(acting);
    fleet.until_has(acting, &version);
    fleet.stays_at(&version, 2);
    fleet.let_all_go_on();
    fleet.until_all_have(&version);
    assert_eq!((fleet.started(&version), fleet.overlap()), (HOSTS, 2));
}

/// The emergency exit when no permit can be granted.
#[test]
fn a_trigger_without_a_permit_needs_no_store() {
    let mut etcd = Etcd::start();
    let fleet = Fleet::start(&etcd.url(), "", "true");
    let version = fleet.version();
    fleet.until_all_have(&version);
    etcd.kill();
    fleet.daemons[0].until_watch("git", |watch| watch["unreachable"] == true);
    let why = fleet.daemons[0].say(&["explain", "git"]);
    assert!(why.ends_with("nothing runs until store main is back.\n"), "{why}");
    let refused = fleet.daemons[0].ask(&["trigger", "git", "--without-permit"]);
    assert!(!refused.status.success(), "the key cannot be read");
    fleet.daemons[0].say(&["trigger", "git", "--cached", "--without-permit"]);
    fleet.until_started(&version, HOSTS + 1);
    etcd.start_again();
    fleet.until_all_have(&version);
}
