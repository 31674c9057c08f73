//! The daemon killed at the worst moments: adoption, recovery, and the record of applied states (P1, P3, ledger).

mod orphans;
mod starts;

use crate::fixture::daemon::Daemon;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn a_running_action_is_adopted_and_not_started_twice() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    let out = daemon.path("out").display().to_string();
    let gate = daemon.path("gate").display().to_string();
    let action = format!(
        "echo start $TWITCHER_REASON $(cat) >> {out}; until test -e {gate}; do echo tick; sleep 0.05; done; echo last words; echo end >> {out}"
    );
    daemon.write("a.toml", &format!("[[watch]]\nkey='/a'\naction='{action}'\n"));
    daemon.run();
    daemon.until_file("out", |text| text == "start load 1\n");
    let pid =
        daemon.until_watch("a", |watch| watch["running"][0]["pid"].is_number())["running"][0]["pid"].clone();
    daemon.kill();
    daemon.put("/a", "2");
    daemon.run();
    let watch = daemon.until_watch("a", |watch| watch["state"] == "running");
    assert_eq!(watch["running"][0]["pid"], pid, "the same process must be adopted");
    daemon.until_watch("a", |watch| watch["version"].is_string());
    assert_eq!(daemon.read("out"), "start load 1\n", "nothing runs beside it");
    std::fs::write(&gate, "").unwrap();
    let text = daemon.until_file("out", |text| text.matches("end").count() == 2);
    assert!(text.starts_with("start load 1\nend\nstart "), "{text}");
    assert!(text.contains("2\nend"), "the newest state: {text}");
    daemon.until_converged("a");
    assert_eq!(daemon.read("out").matches("start").count(), 2);
    // Its output continued through the death of the daemon, and the next daemon read it.
    daemon.until_file("log", |log| log.matches("last words").count() == 2);
}

#[test]
fn a_run_killed_with_the_daemon_is_repeated_as_a_recovery() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    let out = daemon.path("out").display().to_string();
    let action =
        format!("echo $TWITCHER_REASON >> {out}; test $TWITCHER_REASON = recovery || exec sleep 1000");
    daemon.write("a.toml", &format!("[[watch]]\nkey='/a'\nrun_on_load=false\naction='{action}'\n"));
    daemon.run();
    daemon.until_watch("a", |watch| watch["version"].is_string());
    daemon.put("/a", "2");
    let watch = daemon.until_watch("a", |watch| watch["running"][0]["pid"].is_number());
    let pid = i32::try_from(watch["running"][0]["pid"].as_i64().unwrap()).unwrap();
    daemon.until_file("out", |text| text == "change\n");
    daemon.kill();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    daemon.run();
    daemon.until_file("out", |text| text == "change\nrecovery\n");
    daemon.until_converged("a");
}

#[test]
fn run_on_load_changed_runs_only_unapplied_states() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    let out = daemon.path("out").display().to_string();
    daemon.write("a.toml", &format!("[[watch]]\nkey='/a'\nrun_on_load='changed'\naction='cat >> {out}'\n"));
    daemon.run();
    daemon.until_converged("a");
    daemon.kill();
    daemon.run();
    let watch = daemon.until_converged("a");
    assert_eq!((daemon.read("out").as_str(), &watch["runs"]), ("1", &serde_json::json!(1)), "{watch}");
    daemon.kill();
    daemon.put("/a", "2");
    daemon.run();
    daemon.until_file("out", |text| text == "12");
    daemon.until_converged("a");
}

#[test]
fn a_stop_waits_for_actions_and_then_ends_them() {
    let mut daemon = Daemon::prepare("shutdown_grace = '1s'");
    daemon.put("/a", "1");
    let out = daemon.path("out").display().to_string();
    daemon.write(
        "a.toml",
        &format!(
            "[[watch]]\nname='short'\nkey='/a'\naction='sleep 0.3; echo done >> {out}'\n\
             [[watch]]\nname='long'\nkey='/a'\nkill_after='200ms'\naction='trap \"\" TERM; echo $$ > {out}.pid; while :; do sleep 1; done'\n"
        ),
    );
    daemon.run();
    let pid = daemon.until_file("out.pid", |text| text.ends_with('\n'));
    assert!(daemon.stop().success());
    assert_eq!(daemon.read("out"), "done\n");
    assert!(!std::fs::exists(format!("/proc/{}", pid.trim())).unwrap(), "the long one is left");
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let daemon = Daemon::start("", &[]);
    let second = daemon.ask(&["run"]);
    assert_eq!(second.status.code(), Some(1));
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(error.contains("another twitcher daemon"), "{error}");
    daemon.status();
}

#[test]
fn an_older_parallel_run_that_ends_last_does_not_count_as_applied() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "slow");
    let gate = daemon.path("gate").display().to_string();
    let action = format!("test $(cat) = fast || until test -e {gate}; do sleep 0.02; done");
    daemon.write(
        "a.toml",
        &format!("[[watch]]\nkey='/a'\nrun_mode='parallel'\nrun_on_load='changed'\naction='{action}'\n"),
    );
    daemon.run();
    daemon.until_watch("a", |watch| watch["state"] == "running");
    daemon.put("/a", "fast");
    let watch = daemon.until_watch("a", |watch| watch["runs"] == 1);
    assert_eq!(watch["applied"], watch["version"]);
    std::fs::write(&gate, "").unwrap();
    let watch = daemon.until_runs("a", 2);
    assert_eq!(watch["applied"], watch["version"], "{watch}");
    // The older run's state does not count as applied: going back to it is a change, even after a restart.
    daemon.kill();
    daemon.put("/a", "slow");
    daemon.run();
    daemon.until_runs("a", 3);
}

#[test]
fn a_change_during_a_pause_is_applied_on_resume_even_after_a_restart() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    let out = daemon.path("out").display().to_string();
    daemon.write("a.toml", &format!("[[watch]]\nkey='/a'\nrun_on_load=false\naction='cat >> {out}'\n"));
    daemon.run();
    daemon.until_watch("a", |watch| watch["version"].is_string());
    daemon.say(&["pause", "a"]);
    daemon.put("/a", "2");
    daemon.kill();
    daemon.run();
    daemon.until_watch("a", |watch| watch["version"].is_string());
    assert_eq!(daemon.read("out"), "");
    daemon.say(&["resume", "a"]);
    daemon.until_file("out", |text| text == "2");
}

#[test]
fn a_process_that_forges_the_variables_of_a_run_is_not_adopted() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    let out = daemon.path("out").display().to_string();
    daemon.write("a.toml", &format!("[[watch]]\nkey='/a'\naction='echo $TWITCHER_RUN >> {out}'\n"));
    daemon.run();
    let run = daemon.until_file("out", |text| text.ends_with('\n'));
    let ledger = run.split('-').next().unwrap().to_owned();
    daemon.until_converged("a");
    daemon.kill();
    let mut command = std::process::Command::new("setsid");
    command.args(["setpriv", "--reuid=65534", "--clear-groups", "sleep", "1000"]);
    command.env("TWITCHER_RUN", format!("{ledger}-ffffffffffff-9")).env("TWITCHER_WATCH", "a");
    let mut forged = command.env("TWITCHER_VERSION", "1").spawn().unwrap();
    daemon.put("/a", "2");
    daemon.run();
    let watch = daemon.until_converged("a");
    assert_eq!(watch["running"], serde_json::json!([]));
    forged.kill().unwrap();
    forged.wait().unwrap();
}

#[test]
fn an_unreadable_ledger_is_not_replaced() {
    let mut daemon = Daemon::start("", &[]);
    // A thread writes the ledger, including the first time.
    daemon.until_file("state/ledger", |text| text.ends_with('\n'));
    daemon.kill();
    let ledger = daemon.path("state/ledger");
    std::fs::remove_file(&ledger).unwrap();
    std::fs::create_dir(&ledger).unwrap();
    let refused = daemon.ask(&["run"]);
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("cannot read the ledger"), "{error}");
}

#[test]
fn a_running_action_is_adopted_even_if_the_ledger_was_lost() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    let (out, gate) = (daemon.path("out").display().to_string(), daemon.path("gate").display().to_string());
    let top = daemon.config().display();
    let action = format!(
        "echo start $(cat) >> {out}; while test -d {top} -a ! -e {gate}; do sleep 0.05; done; echo end >> {out}"
    );
    daemon.write("a.toml", &format!("[[watch]]\nkey='/a'\naction='{action}'\n"));
    daemon.run();
    daemon.until_file("out", |text| text == "start 1\n");
    daemon.kill();
    std::fs::remove_file(daemon.path("state/ledger")).unwrap();
    daemon.put("/a", "2");
    daemon.run();
    daemon.until_watch("a", |watch| watch["state"] == "running" && watch["version"].is_string());
    assert_eq!(daemon.read("out"), "start 1\n", "nothing runs beside it");
    std::fs::write(&gate, "").unwrap();
    daemon.until_converged("a");
    assert_eq!(daemon.read("out"), "start 1\nend\nstart 2\nend\n");
}

/// The same, but the watch now has another key: the run for the old key ends first and is not repeated.
#[test]
fn an_action_of_another_key_is_waited_for_even_if_the_ledger_was_lost() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    daemon.put("/b", "1");
    let (out, gate) = (daemon.path("out").display().to_string(), daemon.path("gate").display().to_string());
    let top = daemon.config().display();
    let action = format!(
        "echo start $TWITCHER_KEY $TWITCHER_REASON >> {out}; while test -d {top} -a ! -e {gate}; do sleep 0.05; done; echo end >> {out}"
    );
    daemon.write("a.toml", &format!("[[watch]]\nkey='/a'\naction='{action}'\n"));
    daemon.run();
    daemon.until_file("out", |text| text == "start /a load\n");
    daemon.kill();
    std::fs::remove_file(daemon.path("state/ledger")).unwrap();
    daemon.write("a.toml", &format!("[[watch]]\nkey='/b'\naction='{action}'\n"));
    daemon.run();
    daemon.until_watch("a", |watch| watch["state"] == "running" && watch["version"].is_string());
    assert_eq!(daemon.read("out"), "start /a load\n", "nothing runs beside it");
    std::fs::write(&gate, "").unwrap();
    daemon.until_converged("a");
    assert_eq!(daemon.read("out"), "start /a load\nend\nstart /b load\nend\n");
}
