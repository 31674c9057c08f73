//! `twitcher wait`, and `pause` and `resume` of several watches.

use std::process::{Child, Command, Stdio};

use crate::fixture::daemon::{Daemon, until};

const WATCH: &str = "[[watch]]\nkey = '/a'\naction = 'cat'\n";

#[track_caller]
fn exits(daemon: &Daemon, args: &[&str], code: i32, says: &str) {
    let output = daemon.ask(&[&["wait"], args].concat());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert!(error.contains(says), "{args:?}: {error}");
}

fn waiting(daemon: &Daemon, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twitcher"));
    command.arg("-c").arg(daemon.path("config")).arg("wait").args(args).stdin(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn wait_returns_when_watches_converge_or_cannot() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    daemon.write("good.toml", WATCH);
    daemon.write("bad.toml", &WATCH.replace("'cat'", "'exit 3'\nretries = 0"));
    let place = daemon.path("").display().to_string();
    daemon.write(
        "slow.toml",
        &WATCH.replace("'cat'", &format!("'until test -e {place}/go; do sleep 0.1; done'")),
    );
    daemon.run();
    exits(&daemon, &["good"], 0, "");
    exits(&daemon, &["g*d"], 0, "");
    exits(&daemon, &["bad", "--timeout", "1m"], 3, "bad is failed");
    exits(&daemon, &["*"], 3, "bad is failed");
    exits(&daemon, &["slow", "--timeout", "200ms"], 4, "not converged after 0.2 s");
    exits(&daemon, &["nope"], 1, "no watch is called `nope`");
    exits(&daemon, &["nope*"], 1, "no watch matches `nope*`");
    exits(&daemon, &[], 2, "");

    let mut child = waiting(&daemon, &["slow", "good", "--timeout", "2m"]);
    assert!(child.try_wait().unwrap().is_none());
    std::fs::write(daemon.path("go"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));

    // In a directory, a version means exactly that one.
    let applied = daemon.watch("good")["applied"].as_str().unwrap().to_owned();
    exits(&daemon, &["good", "--version", &applied], 0, "");
    exits(&daemon, &["good", "--version", &"0".repeat(32), "--timeout", "100ms"], 4, "");

    daemon.say(&["pause", "good"]);
    exits(&daemon, &["good"], 0, "");
    daemon.put("/a", "2");
    daemon.until_watch("good", |watch| watch["converged"] == false);
    exits(&daemon, &["good"], 3, "good is paused");
    daemon.stop();
    exits(&daemon, &["good"], 1, "no daemon answers");
}

#[test]
fn pause_and_resume_take_globs_and_all() {
    let daemon = Daemon::start("", &[("web-1.toml", WATCH), ("web-2.toml", WATCH), ("db.toml", WATCH)]);
    let paused = || {
        let status = daemon.status();
        let watches = status["watches"].as_array().unwrap().clone();
        let paused = watches.into_iter().filter(|watch| watch["state"] == "paused");
        paused.map(|watch| watch["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let said = daemon.say(&["pause", "web-*"]);
    assert!(said.contains("web-1 is paused") && said.contains("web-2 is paused"), "{said}");
    assert_eq!(paused(), ["web-1", "web-2"]);
    daemon.say(&["pause", "--all", "--for", "1h"]);
    assert_eq!(paused(), ["db", "web-1", "web-2"]);
    daemon.say(&["resume", "web-1", "db"]);
    assert_eq!(paused(), ["web-2"]);
    // A glob resumes only paused or stopped watches; a single name is refused with the reason.
    let said = daemon.say(&["resume", "web-*"]);
    assert!(said.contains("web-2") && !said.contains("web-1"), "{said}");
    let refused = daemon.ask(&["resume", "web-1"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("neither paused nor stopped"));
    let none = daemon.say(&["resume", "--all"]);
    assert!(none.starts_with("nothing to do"), "{none}");
    assert_eq!(daemon.ask(&["pause"]).status.code(), Some(2));
    let unknown = daemon.ask(&["pause", "x*"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no watch matches `x*`"));
    until("all resumed", || paused().is_empty().then_some(()));
}
