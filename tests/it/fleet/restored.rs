//! A store that is restored from a backup: hosts write their records again, and nothing starts until every run must
//! have ended.

use std::time::Duration;

use super::hosts::{Fleet, HELD, HOSTS, Setup};
use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::ZooKeeper;

/// How long a run may take with these fields, plus the margins of the fleet.
const LIMIT: Duration = Duration::from_secs(20 + 1 + 10 + 5);

/// What happens to the daemons whose hosts do not act.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Live,
    /// They are killed before the restore, and start again at once.
    Restart,
}

/// `restore` brings the store back to when no host had a record.
fn nothing_starts_before_every_run_must_have_ended(
    fleet: &mut Fleet,
    others: Others,
    restore: impl FnOnce(),
) {
    let fields = "timeout = '20s'\nkill_after = '1s'\nretries = 0";
    let setup = Setup { action: HELD, fields, terms: "stop_on_failures = 'never'" };
    (0..HOSTS).for_each(|host| fleet.add(host, setup));
    let version = fleet.version();
    fleet.until_started(&version, 1);
    let acting = fleet.starters(&version)[0];
    let restarted: Vec<usize> =
        (0..HOSTS).filter(|host| *host != acting && others == Others::Restart).collect();
    for host in &restarted {
        until("its ask", || (fleet.key(&format!("hosts/h{host}"))?["state"] == "asking").then_some(()));
        fleet.daemons[*host].kill();
    }
    restore();
    for host in restarted {
        fleet.daemons[host].run();
    }
    for host in 0..HOSTS {
        until("its record", || fleet.key(&format!("hosts/h{host}")));
        until("its name", || fleet.key(&format!("alive/h{host}")));
    }
    let before = fleet.started(&version);
    fleet.let_all_go_on();
    until("the reason", || fleet.status()["why"].as_str()?.contains("restored").then_some(()));
    fleet.until_all_have(&version);
    let lines = fleet.lines(&version);
    let starts: Vec<f64> = lines.iter().filter(|line| line.is_start).map(|line| line.at).collect();
    let waited = starts[before] - starts[before - 1];
    assert!(waited >= LIMIT.as_secs_f64(), "started after {waited} s: {lines:?}");
    assert_eq!(fleet.overlap(), 1);
}

#[test]
fn on_etcd() {
    let mut etcd = Etcd::start();
    let mut fleet = Fleet::without_daemons(&etcd.url());
    let backup = etcd.back_up();
    nothing_starts_before_every_run_must_have_ended(&mut fleet, Others::Live, || etcd.restore(&backup));
}

#[test]
fn on_zookeeper() {
    let mut server = ZooKeeper::start();
    let mut fleet = Fleet::without_daemons(&server.url());
    let backup = server.back_up();
    nothing_starts_before_every_run_must_have_ended(&mut fleet, Others::Live, || server.restore(&backup));
}

/// They have seen no revision of the lost history themselves; their ledgers remember one.
#[test]
fn on_etcd_by_daemons_that_start_afterwards() {
    let mut etcd = Etcd::start();
    let mut fleet = Fleet::without_daemons(&etcd.url());
    let backup = etcd.back_up();
    nothing_starts_before_every_run_must_have_ended(&mut fleet, Others::Restart, || etcd.restore(&backup));
}

#[test]
fn on_zookeeper_by_daemons_that_start_afterwards() {
    let mut server = ZooKeeper::start();
    let mut fleet = Fleet::without_daemons(&server.url());
    let backup = server.back_up();
    nothing_starts_before_every_run_must_have_ended(&mut fleet, Others::Restart, || server.restore(&backup));
}

/// The conductor's own record and `rollout` are as they were in the backup: it notices by the keys of other hosts.
#[test]
fn on_etcd_in_the_middle_of_a_wave_under_a_conductor_that_has_acted() {
    let mut etcd = Etcd::start();
    let mut fleet = Fleet::without_daemons(&etcd.url());
    let fields = "timeout = '20s'\nkill_after = '1s'\nretries = 0";
    let terms = "stop_on_failures = 'never'\ncanary = ['h0']\nsoak = '0s'";
    let watch = fleet.watch(Setup { action: HELD, fields, terms });
    for host in 0..HOSTS {
        let settings = fleet.settings(host, &format!("ttl = '10s'\nconduct = {}", host == 0));
        fleet.daemons.push(Daemon::start(&settings, &[("git.toml", &watch)]));
    }
    let version = fleet.version();
    fleet.let_go_on(0);
    fleet.until_started(&version, 2);
    let second = fleet.starters(&version)[1];
    until("the claim", || (fleet.key(&format!("hosts/h{second}"))?["state"] == "running").then_some(()));
    let backup = etcd.back_up();
    fleet.let_go_on(second);
    fleet.until_started(&version, 3);
    etcd.restore(&backup);
    until("the reason", || fleet.status()["why"].as_str()?.contains("restored").then_some(()));
    fleet.let_all_go_on();
    fleet.until_all_have(&version);
    assert_eq!((fleet.started(&version), fleet.overlap()), (HOSTS, 1));
}
