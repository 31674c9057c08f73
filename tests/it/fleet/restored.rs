//! A store that is restored from a backup: hosts write their records again, and nothing starts until every run must
//! have ended.

use std::time::Duration;

use super::hosts::{Fleet, HELD, HOSTS, Setup};
use crate::fixture::daemon::until;
use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::ZooKeeper;

/// How long a run may take with these fields, plus the margins of the fleet.
const LIMIT: Duration = Duration::from_secs(20 + 1 + 10 + 5);

/// `restore` brings the store back to when no host had a record.
fn nothing_starts_before_every_run_must_have_ended(fleet: &mut Fleet, restore: impl FnOnce()) {
    let fields = "timeout = '20s'\nkill_after = '1s'\nretries = 0";
    let setup = Setup { action: HELD, fields, terms: "stop_on_failures = 'never'" };
    (0..HOSTS).for_each(|host| fleet.add(host, setup));
    let version = fleet.version();
    fleet.until_started(&version, 1);
    restore();
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
    nothing_starts_before_every_run_must_have_ended(&mut fleet, || etcd.restore(&backup));
}

#[test]
fn on_zookeeper() {
    let mut server = ZooKeeper::start();
    let mut fleet = Fleet::without_daemons(&server.url());
    let backup = server.back_up();
    nothing_starts_before_every_run_must_have_ended(&mut fleet, || server.restore(&backup));
}
