//! A daemon that was killed while actions ran, with watch files that changed before the next start: what happens to
//! actions whose watch no longer exists.

use crate::fixture::daemon::{Daemon, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// An action that records its start and end, and waits in between until `gate` exists.
fn gated(daemon: &Daemon) -> String {
    let (out, gate) = (daemon.path("out").display().to_string(), daemon.path("gate").display().to_string());
    let top = daemon.config().display();
    format!(
        "echo start $TWITCHER_KEY $TWITCHER_REASON >> {out}; while test -d {top} -a ! -e {gate}; do echo tick; sleep 0.02; done; echo last words; echo end >> {out}"
    )
}

fn watch(key: &str, more: &str, action: &str) -> String {
    format!("[[watch]]\nkey='{key}'\n{more}\naction='{action}'\n")
}

/// Starts and kills a daemon whose single action, which is returned, keeps running.
fn killed_at_work(more: &str) -> (Daemon, Pid) {
    let mut daemon = Daemon::prepare("shutdown_grace = '1h'");
    daemon.put("/a", "1");
    daemon.put("/b", "1");
    daemon.write("a.toml", &watch("/a", more, &gated(&daemon)));
    daemon.run();
    daemon.until_file("out", |text| text == "start /a load\n");
    let watch = daemon.until_watch("a", |watch| watch["running"][0]["pid"].is_number());
    let pid = i32::try_from(watch["running"][0]["pid"].as_i64().unwrap()).unwrap();
    until("the run to be recorded", || remembered_as_live(&daemon).then_some(()));
    daemon.kill();
    (daemon, Pid::from_raw(pid))
}

fn remembered_as_live(daemon: &Daemon) -> bool {
    let ledger = daemon.read("state/ledger");
    let last = ledger.lines().rfind(|line| line.contains("\"watch\":{\"name\":\"a\"")).unwrap_or_default();
    last.contains("\"live\":[")
}

#[test]
fn the_action_of_a_removed_watch_is_waited_for_and_recorded() {
    let (mut daemon, _pid) = killed_at_work("");
    daemon.remove("a.toml");
    daemon.run();
    daemon.until_file("log", |log| log.contains("of a watch that is no longer defined"));
    assert!(remembered_as_live(&daemon));
    std::fs::write(daemon.path("gate"), "").unwrap();
    // Its output is still read, so that it does not block on a full pipe.
    daemon.until_file("log", |log| log.contains("last words"));
    until("the end of the run to be recorded", || (!remembered_as_live(&daemon)).then_some(()));
    assert_eq!(daemon.read("out"), "start /a load\nend\n");
}

#[test]
fn a_watch_that_comes_back_adopts_its_action() {
    let (mut daemon, pid) = killed_at_work("run_mode='discard'");
    let (there, away) = (daemon.path("config/a.toml"), daemon.path("a.toml"));
    std::fs::rename(&there, &away).unwrap();
    daemon.run();
    daemon.until_file("log", |log| log.contains("of a watch that is no longer defined"));
    std::fs::rename(&away, &there).unwrap();
    let watch = daemon.until_watch("a", |watch| watch["state"] == "running");
    assert_eq!(watch["running"][0]["pid"], pid.as_raw(), "the same process");
    std::fs::write(daemon.path("gate"), "").unwrap();
    daemon.until_converged("a");
    assert_eq!(daemon.read("out"), "start /a load\nend\nstart /a recovery\nend\n");
    let last_words = daemon.log().lines().filter(|line| line.contains("last words")).count();
    assert_eq!(last_words, 2, "each line once: {}", daemon.log());
}

#[test]
fn a_renamed_watch_adopts_its_action() {
    let (mut daemon, pid) = killed_at_work("");
    std::fs::rename(daemon.path("config/a.toml"), daemon.path("config/b.toml")).unwrap();
    daemon.run();
    let watch = daemon.until_watch("b", |watch| watch["state"] == "running" && watch["version"].is_string());
    assert_eq!(watch["running"][0]["pid"], pid.as_raw(), "the same process");
    assert_eq!(daemon.read("out"), "start /a load\n", "nothing beside it");
    std::fs::write(daemon.path("gate"), "").unwrap();
    daemon.until_converged("b");
    assert_eq!(daemon.read("out"), "start /a load\nend\nstart /a recovery\nend\n");
    assert!(!remembered_as_live(&daemon));
}

#[test]
fn a_dead_action_of_a_removed_watch_is_recorded_at_once() {
    let (mut daemon, pid) = killed_at_work("");
    kill(pid, Signal::SIGKILL).unwrap();
    daemon.remove("a.toml");
    daemon.run();
    until("the end of the run to be recorded", || (!remembered_as_live(&daemon)).then_some(()));
}

#[test]
fn a_stop_also_ends_the_action_of_a_removed_watch() {
    let (mut daemon, pid) = killed_at_work("");
    daemon.remove("a.toml");
    let settings = daemon.read("config/twitcher.conf").replace("'1h'", "'100ms'");
    daemon.write("twitcher.conf", &settings);
    daemon.run();
    daemon.until_file("log", |log| log.contains("of a watch that is no longer defined"));
    assert!(daemon.stop().success());
    assert!(!std::fs::exists(format!("/proc/{pid}/exe")).unwrap(), "it still runs");
}

/// The watch has another target now: the old action ends first, and the next run is not a recovery.
#[test]
fn an_action_of_the_old_target_is_waited_for_and_not_repeated() {
    for more in ["", "run_mode='discard'", "run_mode='restart'", "run_mode='parallel'"] {
        let (mut daemon, pid) = killed_at_work(more);
        daemon.write("a.toml", &watch("/b", more, &gated(&daemon)));
        daemon.run();
        let now = daemon.until_watch("a", |watch| watch["key"] == "/b" && watch["version"].is_string());
        assert_eq!(now["running"][0]["pid"], pid.as_raw(), "{more}: {now}");
        assert_eq!(daemon.read("out"), "start /a load\n", "{more}: nothing beside it");
        std::fs::write(daemon.path("gate"), "").unwrap();
        daemon.until_converged("a");
        assert_eq!(daemon.read("out"), "start /a load\nend\nstart /b load\nend\n", "{more}");
    }
}

#[test]
fn an_interrupted_run_is_not_repeated_for_another_target() {
    let (mut daemon, pid) = killed_at_work("");
    kill(pid, Signal::SIGKILL).unwrap();
    std::fs::write(daemon.path("gate"), "").unwrap();
    daemon.write("a.toml", &watch("/b", "run_on_load=false", &gated(&daemon)));
    daemon.run();
    daemon.until_watch("a", |watch| watch["version"].is_string() && watch["state"] == "idle");
    daemon.converges_on("a", "/b", "2");
    assert_eq!(daemon.read("out"), "start /a load\nstart /b change\nend\n");
    // Back at the target of the interrupted run: it is repeated now, because nothing has been applied there since.
    daemon.write("a.toml", &watch("/a", "run_on_load='changed'", &gated(&daemon)));
    daemon.until_watch("a", |watch| watch["key"] == "/a" && watch["converged"] == true);
    assert_eq!(daemon.read("out").matches("start /a").count(), 2);
}

/// The timeout of an adopted run does not depend on the wall clock.
#[test]
fn the_timeout_of_an_adopted_run_does_not_follow_the_wall_clock() {
    for year in ["1999", "2199"] {
        let (mut daemon, pid) = killed_at_work("timeout='1h'");
        let ledger = daemon.read("state/ledger");
        let live = ledger.rfind("\"live\":[").unwrap();
        let at = live + ledger[live..].find("\"started\":\"").unwrap() + "\"started\":\"".len();
        let (before, after) = ledger.split_at(at);
        std::fs::write(daemon.path("state/ledger"), format!("{before}{year}{}", &after[4..])).unwrap();
        daemon.run();
        daemon.until_watch("a", |watch| watch["state"] == "running" && watch["version"].is_string());
        let why = daemon.say(&["explain", "a"]);
        let left: f64 = why
            .split_once("ended by TERM in ")
            .and_then(|(_, rest)| rest.split_once(" s"))
            .and_then(|(seconds, _)| seconds.parse().ok())
            .unwrap_or_default();
        assert!(left > 3000.0 && left <= 3600.0, "{year}: {why}");
        assert!(std::fs::exists(format!("/proc/{pid}")).unwrap(), "{year}");
        std::fs::write(daemon.path("gate"), "").unwrap();
        daemon.until_converged("a");
    }
}
