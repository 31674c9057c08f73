//! Hosts that gave up, and whose daemons start again.

use super::hosts::{Fleet, HOSTS, Setup, on_both_stores};
use crate::fixture::daemon::until;

on_both_stores! {
    a_failure_counts_although_its_daemon_starts_again
    a_host_that_gave_up_and_does_not_run_on_load_is_still_failed
}

/// Waits until it may go on, and fails where the host is bad.
const FAILING: &str = "until test -e WITNESS.go-$TWITCHER_HOST || ! test -d $(dirname WITNESS); do sleep 0.05; done\n\
                       ! test -e WITNESS.bad-$TWITCHER_HOST";

/// All hosts have the first version and fail from now on.
fn failing(url: &str, setup: Setup<'_>) -> Fleet {
    let fleet = Fleet::of(url, Setup { action: FAILING, ..setup });
    fleet.let_all_go_on();
    fleet.until_all_have(&fleet.version());
    (0..HOSTS).for_each(|host| fleet.flag(&format!("bad-h{host}")));
    fleet.hold_all();
    fleet
}

/// The first host that started the version fails.
fn first_fails(fleet: &Fleet, version: &str) -> usize {
    fleet.until_started(version, 1);
    let first = fleet.starters(version)[0];
    fleet.let_go_on(first);
    until("the failure", || (fleet.status()["failures"][0]["host"] == format!("h{first}")).then_some(()));
    first
}

fn a_failure_counts_although_its_daemon_starts_again(url: &str) {
    let mut fleet = failing(url, Setup { terms: "stop_on_failures = 2", ..Setup::default() });
    let version = fleet.put("second");
    let first = first_fails(&fleet, &version);
    fleet.until_started(&version, 2);
    let second = fleet.starters(&version)[1];
    fleet.daemons[first].kill();
    fleet.daemons[first].run();
    fleet.daemons[first].until_watch("git", |watch| watch["fleet"]["permit"] == "asked");
    until("its record", || {
        let record = fleet.key(&format!("hosts/h{first}"))?;
        (record["state"] == "asking" && record["failures"] == 1).then_some(())
    });
    fleet.let_go_on(second);
    fleet.until_state("stopped");
    fleet.stays_at(&version, 2);
    // It asks, and the fleet stays stopped for all others.
    fleet.unflag(&format!("bad-h{first}"));
    fleet.fleet(&["retry", "git", &format!("h{first}")]);
    fleet.until_has(first, &version);
    fleet.stays_at(&version, 3);
    assert_eq!(fleet.status()["state"], "stopped");
}

fn a_host_that_gave_up_and_does_not_run_on_load_is_still_failed(url: &str) {
    let fields = "timeout = '60s'\nretries = 0\nkill_after = '1s'\nrun_on_load = false";
    let fleet = Fleet::of(url, Setup { action: FAILING, fields, terms: "stop_on_failures = 'never'" });
    fleet.let_all_go_on();
    for daemon in &fleet.daemons {
        daemon.until_watch("git", |watch| watch["version"].is_string());
    }
    fleet.flag("bad-h0");
    let version = fleet.put("second");
    for host in 1..HOSTS {
        fleet.until_has(host, &version);
    }
    let mut fleet = fleet;
    until("the failure", || (fleet.host(0)["state"] == "failed").then_some(()));
    fleet.daemons[0].kill();
    fleet.daemons[0].run();
    let watch = fleet.daemons[0].until_watch("git", |watch| watch["state"] == "failed");
    assert_eq!(watch["fleet"]["state"], "failed", "{watch}");
    let waited = fleet.try_fleet(&["wait", "git", "--timeout", "1m"]);
    assert_eq!(waited.status.code(), Some(3), "{}", String::from_utf8_lossy(&waited.stdout));
    fleet.unflag("bad-h0");
    fleet.fleet(&["retry", "git"]);
    fleet.until_has(0, &version);
}
