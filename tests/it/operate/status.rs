//! `twitcher status` for a person, a script and a monitoring system.

use std::process::Command;

use crate::fixture::daemon::{Daemon, until};

const FAILING: &str =
    "[[watch]]\nkey = '/a'\naction = 'echo oops; exit 3'\nretries = 1\nretry_delay = '50ms'\n";
const WELL: &str = "[[watch]]\nkey = '/a'\naction = 'cat'\n";

fn in_columns(daemon: &Daemon, columns: &str, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twitcher"));
    command.arg("-c").arg(daemon.path("config")).args(args).env("COLUMNS", columns);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_watch_that_gave_up_is_failed_and_logs_once_how_to_continue() {
    let daemon = Daemon::prepare("");
    let mut daemon = daemon;
    daemon.put("/a", "1");
    daemon.write("bad.toml", FAILING);
    daemon.write("good.toml", WELL);
    daemon.run();
    let watch = daemon.until_watch("bad", |watch| watch["state"] == "failed");
    assert_eq!((&watch["converged"], &watch["gave_up"]), (&false.into(), &true.into()), "{watch}");
    daemon.until_converged("good");
    let log = daemon.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("gave up after 2 tries")).collect();
    assert_eq!(errors.len(), 1, "{log}");
    assert!(
        errors[0].contains("nothing runs until /a changes or somebody says `twitcher trigger bad`"),
        "{log}"
    );

    let table = daemon.say(&["status"]);
    assert!(table.starts_with("2 watches: 1 ok, 1 FAILED\n"), "{table}");
    let place = |mark: &str| table.find(mark).unwrap_or_else(|| panic!("{mark} is not in\n{table}"));
    assert!(place("✗ bad") < place("✓ good"), "{table}");
    let failed = daemon.say(&["status", "--failed"]);
    assert!(failed.contains("✗ bad") && !failed.contains("good"), "{failed}");
    for width in [40, 80, 200] {
        let narrow = in_columns(&daemon, &width.to_string(), &["status"]);
        assert!(narrow.lines().all(|line| line.chars().count() <= width), "{narrow}");
        assert!(narrow.contains("✗ bad") && narrow.contains("failed"), "{narrow}");
    }
    let whole = daemon.say(&["status", "bad"]);
    for part in ["✗ failed", "action      echo oops; exit 3", "user        ", "output      oops"] {
        assert!(whole.contains(part), "{part} is not in\n{whole}");
    }

    assert_eq!(daemon.ask(&["status", "--check"]).status.code(), Some(1));
    assert_eq!(daemon.ask(&["status", "--check", "good"]).status.code(), Some(0));
    let nagios = daemon.ask(&["status", "--check=nagios"]);
    let line = String::from_utf8(nagios.stdout).unwrap();
    assert_eq!((nagios.status.code(), line.lines().count()), (Some(2), 1), "{line}");
    assert!(line.starts_with("TWITCHER CRITICAL - ") && line.contains("bad failed"), "{line}");
    assert_eq!(daemon.ask(&["status", "--check=nagios", "g*"]).status.code(), Some(0));

    // A new state ends the failure, and only the new state counts.
    daemon.write("bad.toml", &FAILING.replace("exit 3", "test $(cat) = 2"));
    daemon.put("/a", "2");
    let watch = daemon.until_converged("bad");
    assert_eq!((&watch["state"], &watch["gave_up"]), (&"idle".into(), &false.into()));
    daemon.stop();
    assert_eq!(daemon.ask(&["status", "--check=nagios"]).status.code(), Some(3));
}

#[test]
fn a_retry_and_a_pause_show_their_end() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    daemon.write("bad.toml", &FAILING.replace("50ms", "10m").replace("= 1", "= 9"));
    daemon.run();
    let watch = daemon.until_watch("bad", |watch| watch["state"] == "retrying");
    assert!(watch["next_retry"].is_string(), "{watch}");
    assert!(daemon.say(&["status", "bad"]).contains("next retry  "));
    assert_eq!(daemon.ask(&["status", "--check=nagios"]).status.code(), Some(1));
    daemon.say(&["pause", "bad", "--for", "1h"]);
    let whole = daemon.say(&["status", "bad"]);
    assert!(whole.contains("‖ paused") && whole.contains("paused      until "), "{whole}");
}

#[test]
fn globs_select_watches_and_one_without_a_match_is_named() {
    let daemon = Daemon::start("", &[("web-1.toml", WELL), ("web-2.toml", WELL), ("db.toml", WELL)]);
    let names = |args: &[&str]| {
        let status: serde_json::Value =
            serde_json::from_str(&daemon.say(&[&["status", "--json"], args].concat())).unwrap();
        let watches = status["watches"].as_array().unwrap();
        watches.iter().map(|watch| watch["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["web-*"]), ["web-1", "web-2"]);
    assert_eq!(names(&["web-?", "db"]), ["db", "web-1", "web-2"]);
    for args in [&["status", "x*"][..], &["status", "db", "x*"]] {
        let output = daemon.ask(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && error.contains("no watch matches `x*`"), "{error}");
    }
    let output = daemon.ask(&["status", "db", "wbe-1"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `web-1`?"));
}

#[test]
fn a_store_that_is_down_makes_its_watches_unreachable_and_not_converged() {
    let port = crate::fixture::port::Port::claim();
    let settings = format!("[store.main]\nurl = 'etcd://127.0.0.1:{}'", port.number());
    let watch = "[[watch]]\nkey = '/a'\nstore = 'main'\naction = 'cat'\n";
    let daemon = Daemon::start(&settings, &[("a.toml", watch)]);
    until("the store is down", || {
        let status = daemon.status();
        let stores = status["stores"].as_array().unwrap().clone();
        stores.iter().any(|store| store["name"] == "main" && store["state"] == "down").then_some(())
    });
    let watch = daemon.watch("a");
    assert_eq!((&watch["state"], &watch["unreachable"]), (&"unreachable".into(), &true.into()), "{watch}");
    assert_eq!(watch["converged"], false);
    let why = daemon.say(&["explain", "a"]);
    assert!(why.ends_with("nothing runs until store main is back.\n"), "{why}");
    let table = daemon.say(&["status"]);
    assert!(table.starts_with("1 watch: 1 UNREACHABLE · store main down "), "{table}");
    assert!(table.contains("! a") && table.contains("! store main down for"), "{table}");
    assert_eq!(daemon.ask(&["status", "--check=nagios"]).status.code(), Some(2));
}

#[test]
fn follow_with_json_prints_one_object_a_line() {
    use std::io::{BufRead, BufReader};
    let daemon = Daemon::start("", &[("a.toml", WELL)]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_twitcher"))
        .arg("-c")
        .arg(daemon.path("config"))
        .args(["status", "--json", "--follow"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.take(2) {
        let status: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(status["watches"][0]["name"], "a");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
