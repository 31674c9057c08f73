//! A daemon without descriptors cannot start actions: that is no failure of theirs, uses up no retries, and passes.

use std::process::Command;
use std::time::Duration;

use crate::fixture::daemon::{Daemon, stays_silent_for, until};
use crate::fixture::executable;

/// Leaves the daemon this many free descriptors: enough to read a key and to answer, too few for an action's pipes unless
/// they have been prepared.
const FREE: usize = 4;

fn limit_descriptors(daemon: &Daemon, most: usize) {
    let pid = daemon.pid().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={most}:4096")]).status();
    assert!(set.expect("run prlimit of util-linux").success());
}

/// A limit below which `free` numbers are unused.
fn limit_with(daemon: &Daemon, free: usize) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    let open: Vec<usize> =
        open.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    (0..).filter(|number| !open.contains(number)).nth(free).unwrap()
}

fn watch(daemon: &Daemon, name: &str, fields: &str) -> String {
    let seen = daemon.path("seen").display().to_string();
    format!(
        "[[watch]]\nname = '{name}'\nkey = '/{name}'\nretries = 0\n{fields}\n\
         action = 'echo $TWITCHER_WATCH $TWITCHER_REASON $TWITCHER_ATTEMPT $(cat) >> {seen}'\n"
    )
}

/// The definition of a watch that [`exhaust`] uses.
fn add_filler(daemon: &Daemon) {
    let program = daemon.path("filler");
    executable::write(&program, "#!/bin/sh\n");
    daemon.put("/filler", "1");
    daemon.write(
        "filler.toml",
        &format!(
            "[[watch]]\nname = 'filler'\nkey = '/filler'\nrun_on_load = false\nretries = 0\naction = ['{}']\n",
            program.display()
        ),
    );
}

/// Leaves the daemon too few descriptors to start an action. The daemon prepares the pipes of the next start: one that
/// fails, because its program is gone, uses these up.
fn exhaust(daemon: &Daemon) {
    std::fs::remove_file(daemon.path("filler")).unwrap();
    daemon.put("/filler", "2");
    daemon.until_watch("filler", |watch| watch["failures"] == 1);
    limit_descriptors(daemon, limit_with(daemon, FREE));
}

#[test]
fn a_start_without_descriptors_is_no_failure_and_is_made_later() {
    let mut daemon = Daemon::prepare("");
    for name in ["plain", "strict", "judged", "gone"] {
        daemon.put(&format!("/{name}"), "1");
    }
    daemon.write("gone.toml", &watch(&daemon, "gone", ""));
    daemon.write("plain.toml", &watch(&daemon, "plain", ""));
    daemon.write("strict.toml", &watch(&daemon, "strict", "on_failure = 'stop'"));
    daemon.write("judged.toml", &watch(&daemon, "judged", "validate = 'true'"));
    add_filler(&daemon);
    daemon.run();
    for name in ["plain", "strict", "judged", "gone"] {
        daemon.until_watch(name, |watch| watch["converged"] == true && watch["state"] == "idle");
    }
    exhaust(&daemon);
    // Nothing is prevented once there is nothing to start.
    daemon.put("/gone", "2");
    daemon.until_watch("gone", |watch| watch["prevented"].is_string());
    daemon.delete("/gone");
    daemon.until_watch("gone", |watch| watch["prevented"].is_null());
    for name in ["plain", "strict", "judged"] {
        daemon.put(&format!("/{name}"), "2");
    }
    for name in ["plain", "strict", "judged"] {
        let watch = daemon.until_watch(name, |watch| watch["prevented"].is_string());
        let why = watch["prevented"].as_str().unwrap();
        assert!(why.contains("too many open files") && why.contains("raise LimitNOFILE"), "{why}");
        let told = [&watch["converged"], &watch["gave_up"], &watch["held"]];
        assert_eq!(told, [false, false, false], "{watch:#}");
        assert_eq!((&watch["runs"], &watch["failures"]), (&1.into(), &0.into()), "{watch:#}");
        let state = if name == "judged" { "waiting" } else { "retrying" };
        assert_eq!(watch["state"], state, "{watch:#}");
    }
    let why = daemon.say(&["explain", "plain"]);
    assert!(why.contains("the daemon cannot start it: make pipes for /bin/sh: too many open files"), "{why}");
    assert!(why.contains("this uses up no retries; it tries again in "), "{why}");
    let why = daemon.say(&["explain", "judged"]);
    assert!(why.contains("the daemon cannot start it: make pipes for /bin/sh"), "{why}");
    let complaints = until("the complaint", || {
        let complaints = daemon.status()["daemon"]["complaints"].to_string();
        complaints.contains("programs of 3 watches cannot be started: ").then_some(complaints)
    });
    assert!(complaints.contains("raise LimitNOFILE"), "{complaints}");
    // Once for each watch, however often it is tried.
    stays_silent_for(Duration::from_secs(4), "the log is flooded", || {
        daemon.log().matches("cannot start ").count() <= 4
    });
    assert_eq!(daemon.log().matches("cannot start ").count(), 4, "{}", daemon.log());

    limit_descriptors(&daemon, 1024);
    for name in ["plain", "strict", "judged"] {
        daemon.until_watch(name, |watch| {
            watch["converged"] == true && watch["prevented"].is_null() && watch["failures"] == 0
        });
        let line = format!("{name} change 1 2");
        daemon.until_file("seen", |seen| seen.lines().filter(|seen| **seen == line).count() == 1);
    }
    assert!(daemon.log().contains("programs can be started again"), "{}", daemon.log());
}

#[test]
fn on_give_up_is_run_once_there_are_descriptors() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    let (told, go) = (daemon.path("told").display().to_string(), daemon.path("go").display().to_string());
    daemon.write(
        "a.toml",
        &format!(
            "[[watch]]\nname = 'a'\nkey = '/a'\nretries = 0\non_give_up = 'echo $TWITCHER_OUTCOME >> {told}'\n\
             action = 'while ! test -e {go}; do sleep 0.1; done; exit 3'\n"
        ),
    );
    add_filler(&daemon);
    daemon.run();
    daemon.until_watch("a", |watch| watch["state"] == "running");
    exhaust(&daemon);
    std::fs::write(daemon.path("go"), "").unwrap();
    daemon.until_file("log", |log| log.contains("cannot start on_give_up: "));
    assert_eq!(daemon.read("told"), "");
    limit_descriptors(&daemon, 1024);
    daemon.until_file("told", |told| told == "failed\n");
}
