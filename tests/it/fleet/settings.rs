//! Terms that differ between hosts or change, `"unlimited"`, another target, and a changed `[fleet]`.

use serde_json::{Value, json};

use super::hosts::{Fleet, HELD, HOSTS, Setup, on_both_stores};
use crate::fixture::daemon::until;
use crate::fixture::etcd::Etcd;
use crate::fixture::program;

on_both_stores! {
    the_most_careful_host_counts_until_its_terms_change
    unlimited_hosts_act_at_once_and_report
    a_host_with_another_key_gets_no_permit
    a_removed_watch_leaves_its_group
    a_changed_fleet_table_takes_effect_at_once
}

/// Waits until the actions of three hosts have started, or until the flag `alone` is set.
const THREE: &str = "until test -e WITNESS.alone || test $(grep -c \"^start .* $TWITCHER_VERSION \" WITNESS) -ge 3; do sleep 0.05; done";

fn the_most_careful_host_counts_until_its_terms_change(url: &str) {
    let setup = |terms| Setup { terms, action: THREE, ..Setup::default() };
    let mut fleet = Fleet::without_daemons(url);
    fleet.flag("alone");
    (0..4).for_each(|host| fleet.add(host, setup("max_parallel = 3")));
    fleet.add(4, setup("max_parallel = 1"));
    let version = fleet.version();
    fleet.until_all_have(&version);
    let version = fleet.put("second");
    fleet.until_all_have(&version);
    assert_eq!(fleet.overlap_of(&version), 1, "h4 says so");
    let status = fleet.status();
    assert_eq!(status["disagree"], json!([{ "host": "h4", "field": "max_parallel" }]), "{status}");
    assert_eq!(status["permits"]["limit"], 1);

    // Terms take effect at once: nothing runs again, and the next version has three at once.
    let runs = fleet.daemons[4].watch("git")["runs"].clone();
    fleet.daemons[4].write("git.toml", &fleet.watch(setup("max_parallel = 3")));
    until("terms that agree", || (fleet.status()["disagree"] == json!([])).then_some(()));
    assert_eq!(fleet.daemons[4].watch("git")["runs"], runs);
    fleet.unflag("alone");
    let version = fleet.put("third");
    fleet.until_started(&version, 3);
    fleet.flag("alone");
    fleet.until_all_have(&version);
    assert_eq!(fleet.overlap_of(&version), 3);
    assert_eq!(fleet.status()["permits"]["limit"], 3);
}

fn unlimited_hosts_act_at_once_and_report(url: &str) {
    let all = "until test $(grep -c \"^start .* $TWITCHER_VERSION \" WITNESS) -ge 5; do sleep 0.05; done";
    let fleet = Fleet::start(url, "max_parallel = 'unlimited'", all);
    let version = fleet.version();
    fleet.until_all_have(&version);
    let version = fleet.put("second");
    fleet.fleet(&["wait", "git", "--version", &version]);
    assert_eq!(fleet.overlap_of(&version), HOSTS);
    let status = fleet.status();
    assert_eq!((&status["converged"], &status["permits"]["limit"]), (&true.into(), &Value::Null), "{status}");
    assert!(fleet.key("permits/h0").is_none());
    let refused = fleet.try_fleet(&["pause", "git"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no permits"), "{refused:?}");
}

/// How often each host's record was written, by etcd's own counter.
fn writes(etcd: &Etcd) -> Vec<i64> {
    let listed = etcd.ctl(&["get", "--prefix", "/twitcher/fleet/git/hosts/", "-w", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let records = listed["kvs"].as_array().unwrap();
    records.iter().map(|record| record["version"].as_i64().unwrap()).collect()
}

#[test]
fn an_unlimited_host_writes_once_for_each_version() {
    let etcd = Etcd::start();
    let fleet = Fleet::start(&etcd.url(), "max_parallel = 'unlimited'", "true");
    let version = fleet.version();
    fleet.until_all_have(&version);
    fleet.fleet(&["wait", "git", "--version", &version]);
    let before = writes(&etcd);
    for value in ["second", "third"] {
        let version = fleet.put(value);
        fleet.fleet(&["wait", "git", "--version", &version]);
    }
    let after = writes(&etcd);
    assert_eq!(before.len(), HOSTS);
    assert!(after.iter().zip(&before).all(|(after, before)| after - before == 2), "{before:?} {after:?}");
}

fn a_host_with_another_key_gets_no_permit(url: &str) {
    let mut fleet = Fleet::without_daemons(url);
    (0..4).for_each(|host| fleet.add(host, Setup::default()));
    fleet.until_all_have(&fleet.version());
    program::good(url, &["put", "/git/other", "x"]);
    let other = fleet.watch(Setup::default()).replace("/git/head", "/git/other");
    let settings = fleet.settings(4, "ttl = '10s'");
    let stranger = crate::fixture::daemon::Daemon::start(&settings, &[("git.toml", &other)]);
    until("the conflict", || (fleet.host(4)["state"] == "conflict").then_some(()));
    assert!(fleet.host(4)["why"].as_str().unwrap().contains("/git/other"), "{}", fleet.host(4));
    let version = fleet.put("second");
    fleet.until_all_have(&version);
    assert_eq!(fleet.started(&version), 4);
    let asks = stranger.watch("git");
    assert_eq!((&asks["fleet"]["permit"], &asks["runs"]), (&"asked".into(), &0.into()), "{asks}");
}

fn a_removed_watch_leaves_its_group(url: &str) {
    let fleet = Fleet::start(url, "", "true");
    fleet.until_all_have(&fleet.version());
    let conductor = fleet.conductor();
    fleet.daemons[conductor].remove("git.toml");
    until("no record", || fleet.key(&format!("hosts/h{conductor}")).is_none().then_some(()));
    until("no name", || fleet.key(&format!("alive/h{conductor}")).is_none().then_some(()));
    fleet.until_another_conducts(conductor);
    let version = fleet.put("second");
    fleet.fleet(&["wait", "git", "--version", &version]);
    assert_eq!(fleet.started(&version), HOSTS - 1);
}

/// Another `[fleet]` for a host.
fn reload(fleet: &Fleet, host: usize, table: &str) {
    let top = fleet.daemons[host].place.path().display().to_string();
    let settings = fleet.settings(host, table);
    let text = format!(
        "log = \"stderr\"\nstate_dir = \"{top}/state\"\ncontrol_socket = \"{top}/control.sock\"\n{settings}\n\
         [store.local]\nurl = \"dir://{top}/keys\"\n"
    );
    fleet.daemons[host].write("twitcher.conf", &text);
    fleet.daemons[host].say(&["reload"]);
}

fn a_changed_fleet_table_takes_effect_at_once(url: &str) {
    let fleet = Fleet::start(url, "", HELD);
    fleet.let_all_go_on();
    fleet.until_all_have(&fleet.version());

    // A host that may not conduct any more resigns, and another one takes over.
    let conductor = fleet.conductor();
    reload(&fleet, conductor, "ttl = '10s'\nconduct = false");
    fleet.until_another_conducts(conductor);

    // Another `ttl` needs another tenure, and the host keeps its name.
    let host = (conductor + 1) % HOSTS;
    let alive = || fleet.key(&format!("alive/h{host}"));
    let before = alive().unwrap();
    reload(&fleet, host, "ttl = '15s'");
    until("another tenure", || {
        let now = alive()?;
        (now["tenure"] != before["tenure"] && now["inst"] == before["inst"]).then_some(())
    });
    let version = fleet.put("second");
    fleet.until_all_have(&version);

    // Another prefix is another group: all hosts leave the old one, and no action starts because of that.
    (0..HOSTS).for_each(|host| reload(&fleet, host, "ttl = '10s'\nprefix = '/elsewhere'"));
    for host in 0..HOSTS {
        until("a record elsewhere", || fleet.value(&format!("/elsewhere/git/hosts/h{host}")));
        until("no record in the old place", || fleet.key(&format!("hosts/h{host}")).is_none().then_some(()));
    }
    fleet.until_all_have(&version);
    assert_eq!(fleet.started(&version), HOSTS);
    let version = fleet.put("third");
    fleet.until_all_have(&version);
    assert_eq!(fleet.overlap(), 1);
}
