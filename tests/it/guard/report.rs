//! `on_give_up`: run once for a version that gave up or is held, as the action is, and in nobody's way.

use super::{Daemon, take_away, until_held};
use crate::fixture::daemon::{stays_silent_for, until};
use std::time::Duration;

fn watch(daemon: &Daemon, fields: &str) -> String {
    let told = daemon.path("told").display().to_string();
    format!(
        "[[watch]]\nname = 'w'\nkey = '/web'\n{fields}\n\
         on_give_up = 'echo \"$TWITCHER_OUTCOME ${{TWITCHER_EXIT_CODE-none}} $TWITCHER_WATCH $OWN $(cat)\" >> {told}'\n\
         env = {{ OWN = 'mine' }}\n"
    )
}

#[test]
fn a_watch_that_gave_up_tells_it_once_for_each_version_also_across_restarts() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/web", "1");
    let fields = "retries = 1\nretry_delay = '10ms'\naction = 'echo oops; exit 3'";
    daemon.write("w.toml", &watch(&daemon, fields));
    daemon.run();
    daemon.until_file("told", |text| text == "failed 3 w mine oops\n");
    daemon.stop();
    daemon.run();
    daemon.until_watch("w", |watch| watch["runs"].as_u64() >= Some(4) && watch["state"] == "failed");
    daemon.put("/web", "2");
    daemon.until_file("told", |text| text.lines().count() == 2);
    daemon.until_watch("w", |watch| watch["state"] == "failed");
    daemon.say(&["trigger", "w"]);
    daemon.until_watch("w", |watch| watch["runs"].as_u64() >= Some(8) && watch["state"] == "failed");
    stays_silent_for(Duration::from_millis(300), "told twice", || daemon.read("told").lines().count() == 2);
}

#[test]
fn a_held_state_is_told_and_a_program_that_fails_or_hangs_delays_nothing() {
    let mut daemon = Daemon::prepare("shutdown_grace = '200ms'");
    daemon.put("/web/a", "1");
    let fields = "watch_type = 'tree'\nmin_entries = 1\nkill_after = '100ms'\naction = 'true'";
    let pid = daemon.path("pid").display().to_string();
    let hangs = format!("trap '' TERM; echo $$ > {pid}; sleep 1000 & wait; wait");
    daemon.write("w.toml", &watch(&daemon, fields));
    let other = watch(&daemon, fields).replace("name = 'w'", "name = 'hangs'");
    let start = other.find("on_give_up").unwrap();
    let end = start + other[start..].find('\n').unwrap();
    daemon.write("hangs.toml", &format!("{}on_give_up = '''{hangs}'''{}", &other[..start], &other[end..]));
    daemon.run();
    daemon.until_converged("w");
    daemon.until_converged("hangs");
    take_away(&daemon);
    until_held(&daemon);
    daemon.until_file("told", |text| text == "held none w mine \n");
    let pid: i32 = daemon.until_file("pid", |text| text.ends_with('\n')).trim().parse().unwrap();
    // It runs on, and what passes is applied meanwhile.
    daemon.converges_on("hangs", "/web/b", "1");
    let lives = || std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(lives());
    // It ends with the daemon, by KILL because it ignores TERM.
    daemon.stop();
    until("its end", || (!lives()).then_some(()));
}

#[test]
fn the_program_of_a_killed_daemon_is_ended_by_the_next() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/web", "1");
    let pid = daemon.path("pid").display().to_string();
    daemon.write(
        "w.toml",
        &format!(
            "[[watch]]\nname = 'w'\nkey = '/web'\nretries = 0\nrun_on_load = 'changed'\naction = 'exit 1'\n\
             on_give_up = 'echo $$ >> {pid}; sleep 1000'\n"
        ),
    );
    daemon.run();
    let first: i32 = daemon.until_file("pid", |text| text.ends_with('\n')).trim().parse().unwrap();
    // It is recorded once it has started; a daemon that is killed before that runs it again.
    daemon.until_file("state/ledger", |ledger| ledger.contains("\"reported\":"));
    daemon.kill();
    daemon.run();
    until("its end", || (!std::path::Path::new(&format!("/proc/{first}")).exists()).then_some(()));
    daemon.until_watch("w", |watch| watch["state"] == "failed");
    assert_eq!(daemon.read("pid").lines().count(), 1, "the same version is told once");
    assert_eq!(daemon.watch("w")["running"].as_array().map(Vec::len), Some(0));
}

#[test]
fn what_gave_up_is_still_failed_after_a_restart_while_nothing_has_changed() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/web", "1");
    let text = |action: &str| {
        format!(
            "[[watch]]\nname = 'w'\nkey = '/web'\nretries = 1\nretry_delay = '10ms'\nrun_on_load = false\n\
             action = '{action}'\n"
        )
    };
    daemon.write("w.toml", &text("echo oops; exit 3"));
    daemon.run();
    daemon.until_watch("w", |watch| watch["state"] == "idle" && !watch["version"].is_null());
    daemon.put("/web", "2");
    daemon.until_watch("w", |watch| watch["state"] == "failed");
    for kill in [false, true] {
        if kill {
            daemon.kill();
        } else {
            daemon.stop();
        }
        daemon.run();
        let watch = daemon.until_watch("w", |watch| !watch["version"].is_null());
        assert_eq!((&watch["state"], &watch["gave_up"]), (&"failed".into(), &true.into()), "{watch:#}");
        assert_eq!((&watch["converged"], &watch["runs"]), (&false.into(), &2.into()), "{watch:#}");
        let told = daemon.say(&["explain", "w"]);
        assert!(told.contains("gave up after 2 tries; the last") && told.contains("\"oops\""), "{told}");
        assert!(told.contains("twitcher trigger w"), "{told}");
    }
    // Another state or another definition has not failed.
    daemon.stop();
    daemon.put("/web", "3");
    daemon.run();
    daemon.until_watch("w", |watch| watch["state"] == "idle" && watch["gave_up"] == false);
    daemon.put("/web", "4");
    daemon.until_watch("w", |watch| watch["state"] == "failed");
    daemon.stop();
    daemon.write("w.toml", &text("true"));
    daemon.run();
    daemon.until_watch("w", |watch| watch["state"] == "idle" && watch["gave_up"] == false);
    daemon.say(&["trigger", "w"]);
    daemon.until_converged("w");
}

#[test]
fn a_program_that_waits_for_room_when_the_daemon_stops_is_run_by_the_next_and_once() {
    let mut daemon = Daemon::prepare("shutdown_grace = '100ms'");
    daemon.put("/web", "1");
    let (told, go) = (daemon.path("told").display().to_string(), daemon.path("go").display().to_string());
    // One more than may run at once.
    for number in 0..17 {
        daemon.write(
            &format!("w{number}.toml"),
            &format!(
                "[[watch]]\nkey = '/web'\nretries = 0\nrun_on_load = 'changed'\nkill_after = '100ms'\n\
                 action = 'echo oops; exit 3'\n\
                 on_give_up = 'echo \"$TWITCHER_WATCH $TWITCHER_EXIT_CODE $(cat)\" >> {told}; \
                 until test -e {go}; do sleep 0.05; done'\n"
            ),
        );
    }
    daemon.run();
    daemon.until_file("told", |text| text.lines().count() == 16);
    stays_silent_for(Duration::from_millis(200), "more than 16", || {
        daemon.read("told").lines().count() == 16
    });
    daemon.stop();
    std::fs::write(&go, "").unwrap();
    daemon.run();
    let text = daemon.until_file("told", |text| text.lines().count() == 17);
    let names: std::collections::BTreeSet<&str> = text.lines().collect();
    assert_eq!(names.len(), 17, "{text}");
    assert!(text.lines().all(|line| line.ends_with(" 3 oops")), "{text}");
    for number in 0..17 {
        daemon.until_watch(&format!("w{number}"), |watch| watch["state"] == "failed" && watch["runs"] == 2);
    }
    stays_silent_for(Duration::from_millis(200), "told twice", || daemon.read("told").lines().count() == 17);
}
