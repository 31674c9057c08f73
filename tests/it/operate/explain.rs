//! `twitcher explain`: why, and what now.

use serde_json::Value;

use crate::fixture::daemon::Daemon;

const FAILING: &str =
    "[[watch]]\nkey = '/a'\naction = 'echo well; echo oops; exit 3'\nretries = 1\nretry_delay = '20ms'\n";

#[test]
fn explain_says_why_and_what_now() {
    let mut daemon = Daemon::prepare("log = 'json'");
    std::fs::write(
        daemon.path("config/twitcher.conf"),
        daemon.read("config/twitcher.conf").replace("log = \"stderr\"\n", ""),
    )
    .unwrap();
    daemon.put("/a", "1");
    daemon.write("bad.toml", FAILING);
    daemon.run();
    daemon.until_watch("bad", |watch| watch["state"] == "failed");
    let why = daemon.say(&["explain", "bad"]);
    let gave_up = why.find("gave up after 2 tries; the last, started ").unwrap_or_else(|| panic!("{why}"));
    let said = why.find("ended with exit code 3 and said: \"oops\".").unwrap_or_else(|| panic!("{why}"));
    let now = why.find("nothing runs until /a changes or somebody says `twitcher trigger bad`.");
    assert!(gave_up < said && Some(said) < now, "{why}");

    // The line of a run's end has all of it as fields.
    let log = daemon.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let end = lines.rev().find(|line| line["outcome"] == "failed").unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&end["attempt"], &end["exit_code"], &end["reason"]), (&2.into(), &3.into(), &"retry".into()));
    assert!(end["version"].is_string() && end["seconds"].is_number(), "{end}");
    assert!(end["file"].as_str().is_some_and(|file| file.ends_with("/bad.toml")), "{end}");

    daemon.say(&["pause", "bad"]);
    daemon.put("/a", "2");
    daemon.until_watch("bad", |watch| watch["gave_up"] == false);
    let why = daemon.say(&["explain", "bad"]);
    assert!(why.contains("runs once it may start") && why.contains("it is paused until"), "{why}");
    assert!(!why.contains("runs next") && !why.contains("it waits"), "{why}");
}

#[test]
fn explain_knows_broken_files() {
    let daemon = Daemon::start("", &[("bad.toml", "[[watch]]\nkey = '/a'\nactoin = 'x'\n")]);
    for name in ["bad", "bad-2"] {
        let output = daemon.ask(&["explain", name]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("bad.toml is broken, so its watches are not there: "), "{error}");
        assert!(error.contains("bad.toml:3:1"), "{error}");
    }
    let output = daemon.ask(&["explain", "bade"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no watch is called `bade`"));
    daemon.write("good.toml", FAILING);
    daemon.until_watch("good", |watch| !watch.is_null());
    daemon.write("good.toml", "[[watch]]\nkey = 7\n");
    crate::fixture::daemon::until("the broken file", || {
        let why = daemon.say(&["explain", "good"]);
        why.contains("good.toml is broken, so its last valid version stays in effect: ").then_some(())
    });
}

#[test]
fn explain_knows_watches_of_other_hosts() {
    let watch = "[[watch]]\nname = 'git'\nkey = '/a'\naction = 'true'\nhosts = ['web-*', '!web-9']\n";
    let daemon = Daemon::start("host = 'db-1'", &[("a.toml", watch)]);
    for command in ["explain", "status", "history", "trigger"] {
        let output = daemon.ask(&[command, "git"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command}: {error}");
        assert!(error.contains("git is for hosts web-*, !web-9: this host is db-1 ("), "{command}: {error}");
        assert!(error.contains("/config/a.toml)"), "{command}: {error}");
    }
    // The same name may stand for another watch here.
    daemon.write("b.toml", "[[watch]]\nname = 'git'\nkey = '/a'\naction = 'true'\nhosts = ['db-*']\n");
    daemon.until_watch("git", |watch| !watch.is_null());
    assert!(daemon.say(&["explain", "git"]).contains("/a does not exist"));
}
