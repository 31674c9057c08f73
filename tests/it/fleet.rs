//! Several daemons of one group on real stores: at most so many actions at once, whoever is killed.
//!
//! The action is the witness: it writes its start and its end, with the host and the version, under a lock.

use std::path::PathBuf;

use serde_json::Value;

use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::program;
use crate::fixture::zookeeper::ZooKeeper;

const HOSTS: usize = 5;

struct Fleet {
    daemons: Vec<Daemon>,
    url: String,
    place: tempfile::TempDir,
}

impl Fleet {
    /// Five daemons whose watch of `/git/head` has these terms. `action` runs between the two lines of the witness, whose
    /// file it calls `WITNESS`.
    fn start(url: &str, terms: &str, action: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut fleet = Self { daemons: Vec::new(), url: url.to_owned(), place };
        fleet.put("first");
        for host in 0..HOSTS {
            let settings = format!("host = 'h{host}'\n[fleet]\nttl = '10s'\n[store.main]\nurl = '{url}'\n");
            fleet.daemons.push(Daemon::start(&settings, &[("git.toml", &fleet.watch(terms, action))]));
        }
        fleet
    }

    fn watch(&self, terms: &str, action: &str) -> String {
        let witness = self.witness().display().to_string();
        let line = |word: &str| {
            format!(
                "flock {witness}.lock sh -c \"echo {word} $TWITCHER_HOST $TWITCHER_VERSION >> {witness}\""
            )
        };
        let (start, end) = (line("start"), line("end"));
        let action = action.replace("WITNESS", &witness);
        format!(
            "[[watch]]\nname = 'git'\nstore = 'main'\nkey = '/git/head'\naction = '''\n{start}\n{action}\ncode=$?\n{end}\nexit $code\n'''\n\
             timeout = '60s'\nretries = 0\nkill_after = '1s'\n[watch.fleet]\n{terms}\n"
        )
    }

    fn witness(&self) -> PathBuf {
        self.place.path().join("witness")
    }

    /// Lets the action of a host go on, if it waits as [`HELD`] does.
    fn let_go_on(&self, host: usize) {
        let file = self.witness().with_file_name(format!("witness.go-h{host}"));
        std::fs::write(file, "").unwrap();
    }

    /// Puts a value. Returns its version.
    fn put(&self, value: &str) -> String {
        program::good(&self.url, &["put", "/git/head", value]);
        self.version()
    }

    /// The version of the value that is there.
    fn version(&self) -> String {
        let entry = program::good(&self.url, &["get", "--json", "/git/head"]);
        let entry: Value = serde_json::from_str(&entry).unwrap();
        entry["version"].as_str().map_or_else(|| entry["version"].to_string(), str::to_owned)
    }

    /// The lines of the witness about a version, as word and host.
    fn lines(&self, version: &str) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.witness()).unwrap_or_default();
        let lines = text.lines().filter_map(|line| {
            let mut words = line.split(' ');
            let (word, host) = (words.next()?.to_owned(), words.next()?.to_owned());
            (words.next()? == version).then_some((word, host))
        });
        lines.collect()
    }

    /// How many actions ran at once at most, whatever their version.
    fn overlap(&self) -> usize {
        let text = std::fs::read_to_string(self.witness()).unwrap_or_default();
        let (mut now, mut most) = (0_usize, 0);
        for line in text.lines() {
            if line.starts_with("start ") {
                now += 1;
                most = most.max(now);
            } else {
                now -= 1;
            }
        }
        most
    }

    fn started(&self, version: &str) -> usize {
        self.lines(version).iter().filter(|(word, _)| word == "start").count()
    }

    fn until_all_have(&self, version: &str) {
        for daemon in &self.daemons {
            daemon.until_watch("git", |watch| {
                watch["applied"] == version && watch["fleet"]["state"] == "converged"
            });
        }
    }

    /// The value of a key of the group.
    fn key(&self, key: &str) -> Option<Value> {
        let output = program::run(&self.url, &["get", &format!("/twitcher/fleet/git/{key}")]);
        serde_json::from_slice(&output.stdout).ok()
    }

    fn conductor(&self) -> usize {
        until("a conductor", || {
            let host = self.key("conductor")?["host"].as_str()?.trim_start_matches('h').parse().ok()?;
            Some(host)
        })
    }
}

fn at_most(url: &str, limit: usize) {
    // The first goes on only when as many as may have started.
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

#[test]
fn one_at_a_time_on_etcd() {
    let etcd = Etcd::start();
    at_most(&etcd.url(), 1);
}

#[test]
fn two_at_a_time_on_etcd() {
    let etcd = Etcd::start();
    at_most(&etcd.url(), 2);
}

#[test]
fn one_at_a_time_on_zookeeper() {
    let zookeeper = ZooKeeper::start();
    at_most(&zookeeper.url(), 1);
}

#[test]
fn two_at_a_time_on_zookeeper() {
    let zookeeper = ZooKeeper::start();
    at_most(&zookeeper.url(), 2);
}

/// The action of each host waits until it may go on.
const HELD: &str = "until test -e WITNESS.go-$TWITCHER_HOST; do sleep 0.05; done";

/// Its action goes on, and the next daemon adopts it: nobody acts beside it, also where the daemon was killed before the
/// start was in its ledger.
#[test]
fn a_killed_holder_keeps_its_permit() {
    for is_recorded in [true, false] {
        let etcd = Etcd::start();
        let mut fleet = Fleet::start(&etcd.url(), "", HELD);
        let version = fleet.version();
        let host = until("an action", || fleet.lines(&version).first().map(|(_, host)| host.clone()));
        let host: usize = host.trim_start_matches('h').parse().unwrap();
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
        // Long enough for every other host to be granted a permit that nobody holds.
        crate::fixture::daemon::stays_silent_for(
            std::time::Duration::from_secs(3),
            "another host acted",
            || fleet.started(&version) == 1,
        );
        (0..HOSTS).for_each(|host| fleet.let_go_on(host));
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
            lines.last().filter(|(word, _)| word == "start").map(|(_, host)| host.clone())
        })
    };
    let conductor = fleet.conductor();
    // Its own action would be lost with it, and a lost action stops the rollout.
    if acting(&fleet) == format!("h{conductor}") {
        fleet.let_go_on(conductor);
        until("another host's action", || (acting(&fleet) != format!("h{conductor}")).then_some(()));
    }
    let mut killed = fleet.daemons.remove(conductor);
    killed.kill();
    (0..HOSTS).for_each(|host| fleet.let_go_on(host));
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
    until("an action", || (fleet.started(&version) > 0).then_some(()));
    etcd.kill();
    (0..HOSTS).for_each(|host| fleet.let_go_on(host));
    let ended = |lines: &[(String, String)]| lines.iter().filter(|(word, _)| word == "end").count();
    until("that action to end", || (ended(&fleet.lines(&version)) > 0).then_some(()));
    crate::fixture::daemon::stays_silent_for(std::time::Duration::from_secs(3), "an action started", || {
        fleet.started(&version) == 1
    });
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
