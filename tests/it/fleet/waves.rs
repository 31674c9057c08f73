//! Canaries, waves, soak, hold, deadline and the failures that stop a rollout.

use super::hosts::{Fleet, HOSTS, Line, Setup, on_both_stores};
use crate::fixture::daemon::until;

on_both_stores! {
    canaries_go_first_and_each_wave_soaks
    a_bad_version_stops_at_the_canary
    a_permit_is_held_after_success
    a_host_that_fails_beyond_its_deadline_lets_others_act
    so_many_failures_stop_a_rollout
}

/// The times of the starts and of the ends, in order.
fn times(lines: &[Line]) -> (Vec<f64>, Vec<f64>) {
    let of =
        |is_start: bool| lines.iter().filter(|line| line.is_start == is_start).map(|line| line.at).collect();
    (of(true), of(false))
}

fn canaries_go_first_and_each_wave_soaks(url: &str) {
    let terms = "canary = ['h3', 'none-*']\nwaves = [2, '60%']\nsoak = '1s'\nmax_parallel = 5";
    let fleet = Fleet::start(url, terms, "true");
    fleet.until_all_have(&fleet.version());
    let version = fleet.put("second");
    fleet.until_all_have(&version);
    assert_eq!(fleet.starters(&version)[0], 3, "the canary is first");
    let lines = fleet.lines(&version);
    let (starts, ends) = times(&lines);
    assert_eq!(starts.len(), HOSTS);
    // The canary, a second host, 60% of five, and then all others.
    for wave in 1..=3 {
        let soak = starts[wave] - ends[wave - 1];
        assert!(soak >= 0.95, "wave {wave} was soaked for {soak} s only: {lines:?}");
    }
    fleet.until_state("done");
    let status = fleet.status();
    assert_eq!((&status["wave"]["number"], &status["converged"]), (&4.into(), &true.into()), "{status}");
}

fn a_bad_version_stops_at_the_canary(url: &str) {
    let fleet = Fleet::start(url, "canary = ['h1']\nmax_parallel = 3\nsoak = '0s'", "! grep -q bad");
    fleet.until_all_have(&fleet.version());
    let version = fleet.put("bad");
    let wait = fleet.try_fleet(&["wait", "/git/head", "--version", &version]);
    let said = String::from_utf8_lossy(&wait.stdout).into_owned();
    assert_eq!(wait.status.code(), Some(3), "{said}");
    assert!(said.contains("stopped at 0 of 5, 1 failed: h1"), "{said}");
    assert_eq!(fleet.starters(&version), [1], "no other host has run it");
    let version = fleet.put("good");
    fleet.fleet(&["wait", "git", "--version", &version]);
    fleet.until_all_have(&version);
}

fn a_permit_is_held_after_success(url: &str) {
    let fleet = Fleet::start(url, "hold = '1s'", "true");
    let version = fleet.version();
    fleet.until_all_have(&version);
    let lines = fleet.lines(&version);
    let (starts, ends) = times(&lines);
    for next in 1..HOSTS {
        let held = starts[next] - ends[next - 1];
        assert!(held >= 0.95, "held for {held} s only: {lines:?}");
    }
}

fn a_host_that_fails_beyond_its_deadline_lets_others_act(url: &str) {
    let setup = Setup {
        terms: "deadline = '4s'\nstop_on_failures = 'never'",
        action: "test $TWITCHER_HOST != h2 || test -e WITNESS.mended",
        fields: "timeout = '2s'\nkill_after = '1s'\nretries = 'unlimited'\nretry_delay = '200ms'\nretry_delay_max = '200ms'",
    };
    let fleet = Fleet::of(url, setup);
    let version = fleet.version();
    for host in [0, 1, 3, 4] {
        fleet.until_has(host, &version);
    }
    fleet.daemons[2].until_watch("git", |watch| watch["failures"].as_u64() > Some(1));
    assert_eq!(fleet.overlap(), 1);
    fleet.flag("mended");
    fleet.until_all_have(&version);
}

fn so_many_failures_stop_a_rollout(url: &str) {
    let terms = "stop_on_failures = 2\nmax_parallel = 2";
    let fleet = Fleet::start(url, terms, "grep -q first || test -e WITNESS.mended-$TWITCHER_HOST");
    fleet.until_all_have(&fleet.version());
    let version = fleet.put("second");
    fleet.until_state("stopped");
    until("the last action to end", || (fleet.status()["hosts"]["acting"] == 0).then_some(()));
    let failed = fleet.starters(&version);
    // A third host may have been granted a permit after the first failure and before the second.
    assert!((2..=3).contains(&failed.len()), "{failed:?}");
    fleet.stays_at(&version, failed.len());
    let status = fleet.status();
    assert_eq!(status["hosts"]["failed"], failed.len(), "{status}");
    // One of them only, while the fleet stays stopped.
    let name = format!("h{}", failed[0]);
    fleet.flag(&format!("mended-{name}"));
    fleet.fleet(&["retry", "git", &name]);
    fleet.until_has(failed[0], &version);
    fleet.stays_at(&version, failed.len() + 1);
    assert_eq!(fleet.status()["state"], "stopped");
    // And then all of them.
    (0..HOSTS).for_each(|host| fleet.flag(&format!("mended-h{host}")));
    fleet.fleet(&["resume", "git", "--reason", "mended"]);
    fleet.until_all_have(&version);
    assert_eq!(fleet.started(&version), HOSTS + failed.len(), "those that failed have run it twice");
}
