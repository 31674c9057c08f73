//! Hot reload: a running daemon whose files are added, removed and changed (promise P7).

mod stalled;

use crate::fixture::daemon::{Daemon, until};

const SLEEPER: &str = "[[watch]]\nkey = '/a'\naction = 'echo $$ >> OUT; sleep 1000'\n";

fn with_sleeper() -> Daemon {
    let mut daemon = Daemon::prepare("shutdown_grace = '0s'");
    daemon.put("/a", "1");
    let out = daemon.path("out").display().to_string();
    daemon.write("a.toml", &SLEEPER.replace("OUT", &out));
    daemon.run();
    daemon.until_watch("a", |watch| watch["running"].as_array().is_some_and(|runs| runs.len() == 1));
    daemon
}

fn running(daemon: &Daemon, name: &str) -> i64 {
    daemon.watch(name)["running"][0]["pid"].as_i64().unwrap()
}

#[test]
fn files_are_added_and_removed_without_a_restart() {
    let daemon = Daemon::start("", &[]);
    daemon.put("/a", "1");
    daemon.write("new.toml", "[[watch]]\nkey = '/a'\naction = 'true'\n");
    daemon.until_runs("new", 1);
    daemon.write("deep/er/below.toml", "[[watch]]\nkey = '/a'\naction = 'true'\n");
    daemon.until_runs("below", 1);
    daemon.remove("new.toml");
    daemon.until_watch("new", serde_json::Value::is_null);
    until("the names in the log", || {
        let log = daemon.log();
        (log.contains("reloaded: added new (new.toml)") && log.contains("reloaded: removed new"))
            .then_some(())
    });
    std::fs::remove_dir_all(daemon.path("config/deep")).unwrap();
    daemon.until_watch("below", serde_json::Value::is_null);
    daemon.write("deep/er/below.toml", "[[watch]]\nkey = '/a'\naction = 'true'\n");
    daemon.until_runs("below", 1);
}

#[test]
fn an_edit_without_a_change_of_meaning_leaves_the_watch_alone() {
    let daemon = with_sleeper();
    let pid = running(&daemon, "a");
    let out = daemon.path("out").display().to_string();
    let other = format!(
        "# a comment\n[[watch]]\naction = \"\"\"echo $$ >> {out}; sleep 1000\"\"\"\nznode = \"/a\"\nretry_delay = '5000ms'\n\n"
    );
    daemon.write("a.toml", &other);
    daemon.write("b.toml", "[[watch]]\nkey = '/a'\naction = 'true'\n");
    daemon.until_runs("b", 1);
    assert_eq!(running(&daemon, "a"), pid);
    assert_eq!(daemon.read("out").lines().count(), 1);
}

#[test]
fn a_broken_edit_changes_nothing_and_is_reported() {
    let daemon = with_sleeper();
    let pid = running(&daemon, "a");
    daemon.write("a.toml", "[[watch]]\nkey = '/a'\nactoin = 'x'\nuid = -1\n");
    let problems = until("the file to be broken", || {
        let status = daemon.status();
        let file =
            status["files"].as_array().unwrap().iter().find(|file| file["state"] == "broken").cloned()?;
        Some(file["problems"].to_string())
    });
    assert!(problems.contains("a.toml:3:1") && problems.contains("action"), "{problems}");
    assert!(problems.contains("a.toml:4:7"), "all problems at once: {problems}");
    assert_eq!(running(&daemon, "a"), pid);
    let reload = daemon.ask(&["reload"]);
    assert!(!reload.status.success());
    assert!(String::from_utf8_lossy(&reload.stderr).contains("a.toml:3:1"));
    assert_eq!(String::from_utf8_lossy(&reload.stdout), "unchanged: 1\n");
}

#[test]
fn a_changed_definition_waits_for_the_old_run() {
    let mut daemon = Daemon::prepare("shutdown_grace = '300ms'");
    daemon.put("/a", "1");
    let out = daemon.path("out").display().to_string();
    daemon.write("a.toml", &SLEEPER.replace("OUT", &out));
    daemon.run();
    daemon.until_watch("a", |watch| watch["running"].as_array().is_some_and(|runs| runs.len() == 1));
    let pid = running(&daemon, "a");
    daemon.write(
        "a.toml",
        &format!(
            "[[watch]]\nkey = '/a'\naction = 'test -e /proc/{pid} && echo TWO >> {out}; echo new >> {out}'\n"
        ),
    );
    let text = daemon.until_file("out", |text| text.contains("new"));
    assert!(!text.contains("TWO"), "{text}");
    daemon.until_converged("a");
}

#[test]
fn a_pending_change_survives_a_changed_definition() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    let out = daemon.path("out").display().to_string();
    let text = |settle: &str| {
        format!(
            "[[watch]]\nkey='/a'\nrun_on_load=false\nsettle='{settle}'\nsettle_max='{settle}'\naction='cat >> {out}'\n"
        )
    };
    daemon.write("a.toml", &text("1h"));
    daemon.run();
    daemon.until_watch("a", |watch| watch["version"].is_string());
    daemon.put("/a", "2");
    daemon.until_watch("a", |watch| watch["state"] == "settling");
    daemon.write("a.toml", &text("10ms"));
    daemon.until_file("out", |text| text == "2");
}

#[test]
fn thousands_of_files_are_added_and_removed_at_once() {
    let daemon = Daemon::start("", &[]);
    for number in 0..2000 {
        daemon.write(&format!("many/{number}.toml"), "[[watch]]\nkey = '/none'\naction = 'true'\n");
    }
    until("all watches", || (daemon.status()["watches"].as_array().unwrap().len() == 2000).then_some(()));
    std::fs::remove_dir_all(daemon.path("config/many")).unwrap();
    until("no watches", || daemon.status()["watches"].as_array().unwrap().is_empty().then_some(()));
}

#[test]
fn a_file_that_is_removed_and_restored_keeps_its_running_action() {
    let daemon = with_sleeper();
    let pid = running(&daemon, "a");
    let (there, away) = (daemon.path("config/a.toml"), daemon.path("a.toml"));
    std::fs::rename(&there, &away).unwrap();
    daemon.until_watch("a", serde_json::Value::is_null);
    std::fs::rename(&away, &there).unwrap();
    daemon.write("b.toml", "[[watch]]\nkey = '/a'\naction = 'true'\n");
    daemon.until_runs("b", 1);
    assert!(std::fs::exists(format!("/proc/{pid}")).unwrap());
    assert_eq!(daemon.read("out").lines().count(), 1, "nothing was started again");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
}

#[test]
fn a_changed_description_reloads_nothing() {
    let daemon = with_sleeper();
    let pid = running(&daemon, "a");
    let out = daemon.path("out").display().to_string();
    daemon.write("a.toml", &format!("{}description = 'sleeps'\n", SLEEPER.replace("OUT", &out)));
    daemon.until_watch("a", |watch| watch["description"] == "sleeps");
    assert_eq!(running(&daemon, "a"), pid);
}
