//! The defects of the old Twitcher, each as a test that fails if it returns.
//!
//! Its defect of modifying a list of children while iterating is ruled out by ownership and needs no test.

use crate::fixture::daemon::{Daemon, until};

/// A daemon with one watch on `/a`, and its action's output in `out`.
fn daemon(action: &str, fields: &str) -> Daemon {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "0");
    let action = action.replace("OUT", &daemon.path("out").display().to_string());
    daemon.write("a.toml", &format!("[[watch]]\nkey = '/a'\naction = '''{action}'''\n{fields}\n"));
    daemon.run();
    daemon
}

/// The old program forgot that TERM was sent, so KILL never followed.
#[test]
fn term_is_followed_by_kill() {
    let action = "trap '' TERM; echo $$ >> OUT; while :; do sleep 0.1; done";
    let daemon = daemon(action, "timeout = '100ms'\nkill_after = '100ms'\nretries = 0");
    let watch = daemon.until_runs("a", 1);
    assert_eq!((&watch["last"]["outcome"], &watch["last"]["signal"]), (&"timed_out".into(), &9.into()));
    let pid = daemon.read("out");
    assert!(!std::fs::exists(format!("/proc/{}", pid.trim())).unwrap(), "it lives");
}

/// Only the leader was signalled.
#[test]
fn the_timeout_also_kills_a_grandchild() {
    let action = "(trap '' TERM; sh -c 'echo $PPID' >> OUT; while :; do sleep 0.1; done) & wait";
    let daemon = daemon(action, "timeout = '500ms'\nkill_after = '100ms'\nretries = 0");
    let watch = daemon.until_runs("a", 1);
    assert_eq!(watch["last"]["outcome"], "timed_out");
    let pid = daemon.read("out");
    assert!(pid.trim().parse::<u32>().is_ok(), "{pid:?}");
    until("the grandchild to be gone", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

/// A discarded update registered another watch at each exit, so that later updates ran more than once.
#[test]
fn a_discarded_update_runs_nothing_later() {
    let daemon = daemon(
        "cat >> OUT; echo >> OUT; until test -e OUT.gate; do sleep 0.02; done",
        "run_mode = 'discard'",
    );
    let gate = daemon.path("out.gate");
    for round in 1..=5_u64 {
        daemon.until_file("out", |text| text.lines().count() as u64 == round);
        for number in 0..3 {
            daemon.put("/a", format!("discarded {number}"));
            daemon.until_watch("a", |watch| watch["version"] != watch["running"][0]["version"]);
        }
        std::fs::write(&gate, "").unwrap();
        daemon.until_runs("a", round);
        std::fs::remove_file(&gate).unwrap();
        daemon.put("/a", round.to_string());
    }
    let text = daemon.until_file("out", |text| text.matches('\n').count() == 6);
    assert_eq!(text, "0\n1\n2\n3\n4\n5\n");
    std::fs::write(&gate, "").unwrap();
    assert_eq!(daemon.until_runs("a", 6)["runs"], 6);
}

/// Without a value to fetch, an update ran once immediately and again when the value arrived.
#[test]
fn without_standard_input_an_update_still_runs_once() {
    let daemon = daemon("echo $TWITCHER_REASON [$(cat)] >> OUT", "pipe_stdin = false");
    for number in 1..=5 {
        daemon.until_runs("a", number);
        daemon.put("/a", number.to_string());
    }
    assert_eq!(daemon.until_runs("a", 6)["runs"], 6);
    let change = "change []\n".repeat(5);
    assert_eq!(daemon.read("out"), format!("load []\n{change}"));
}

/// A failed fetch ended the watch for good.
#[test]
fn a_temporarily_unreadable_key_is_watched_again() {
    let daemon = daemon("cat >> OUT; echo >> OUT", "verify_interval = '1s'");
    daemon.until_runs("a", 1);
    let path = daemon.path("keys/a");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let watch = daemon.until_watch("a", |watch| watch["error"].is_string() || watch["version"].is_null());
    assert_eq!(watch["runs"], 1, "{watch}");
    std::fs::remove_file(&path).unwrap();
    daemon.put("/a", "again");
    daemon.until_file("out", |text| text == "0\nagain\n");
    daemon.until_watch("a", |watch| watch["error"].is_null() && watch["converged"] == true);
}

/// Root's groups stayed, and uid 0 was ignored.
#[test]
fn an_action_has_the_ids_and_groups_of_its_user() {
    for (fields, ids, groups) in [
        ("uid = 'nobody'", "65534 65534", "65534"),
        ("uid = 65534\ngid = 0", "65534 0", "0"),
        ("uid = 0", "0 0", "0"),
    ] {
        let daemon = daemon("id -u > OUT; id -g >> OUT; id -G >> OUT", "uid = 0");
        daemon.until_runs("a", 1);
        let out = daemon.path("out").display().to_string();
        std::fs::set_permissions(daemon.config(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        std::fs::set_permissions(&out, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let action = format!("id -u > {out}; id -g >> {out}; id -G >> {out}; echo end >> {out}");
        daemon.write("a.toml", &format!("[[watch]]\nkey = '/a'\naction = '{action}'\n{fields}\n"));
        let text = daemon.until_file("out", |text| text.ends_with("end\n"));
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words[..2].join(" "), ids, "{fields}");
        assert_eq!(words[2], groups, "{fields}: {text}");
    }
}

/// An account was looked up when the action ran, and a failure was only a line in the log.
#[test]
fn an_unknown_user_is_a_problem_of_its_file() {
    let daemon = Daemon::start("", &[("a.toml", "[[watch]]\nkey = '/a'\naction = 'true'\nuid = 'nobdy'\n")]);
    let status = daemon.status();
    let problem = status["files"].to_string();
    assert!(problem.contains("a.toml:4:7") && problem.contains("nobdy"), "{problem}");
    assert!(status["watches"].as_array().unwrap().is_empty());
}
