//! The guard of a watch (`min_entries`, `max_shrink`): what it holds back, for how long, and what lets it go on.

mod report;
mod stores;
mod validate;

use crate::fixture::daemon::{Daemon, stays_silent_for};
use serde_json::Value;
use std::time::Duration;

/// A watch on the entries of /web that appends a line to `seen` for each run: why, and with how many bytes.
fn watch(daemon: &Daemon, fields: &str) -> String {
    let seen = daemon.path("seen");
    format!(
        "[[watch]]\nname = 'w'\nkey = '/web'\nwatch_type = 'tree'\nformat = 'lines'\n{fields}\n\
         action = '''echo \"$TWITCHER_REASON $(echo $(cat))\" >> {}'''\n",
        seen.display()
    )
}

/// A daemon on a directory with /web/a, /web/b, /web/c and /web/d, all applied.
fn four(fields: &str) -> Daemon {
    let mut daemon = Daemon::prepare("");
    for name in ["a", "b", "c", "d"] {
        daemon.put(&format!("/web/{name}"), name);
    }
    daemon.write("w.toml", &watch(&daemon, fields));
    daemon.run();
    daemon.until_converged("w");
    daemon
}

/// Takes /web away with all that is in it, in one step: of several, the daemon may see and judge each.
fn take_away(daemon: &Daemon) {
    std::fs::rename(daemon.path("keys/web"), daemon.path("keys/.web")).unwrap();
}

/// Puts back what was taken away.
fn put_back(daemon: &Daemon) {
    std::fs::rename(daemon.path("keys/.web"), daemon.path("keys/web")).unwrap();
}

fn runs(daemon: &Daemon) -> usize {
    daemon.read("seen").lines().count()
}

#[track_caller]
fn until_held(daemon: &Daemon) -> Value {
    let watch = daemon.until_watch("w", |watch| watch["state"] == "held");
    assert_eq!((&watch["held"], &watch["converged"]), (&true.into(), &false.into()), "{watch:#}");
    watch
}

/// What a command says that must fail.
#[track_caller]
fn refused(daemon: &Daemon, args: &[&str], says: &str) {
    let output = daemon.ask(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
    assert!(error.contains(says), "{args:?}: {error}");
}

#[test]
fn a_state_that_shrank_is_held_until_it_is_back_or_released() {
    let daemon = four("max_shrink = '50%'");
    daemon.delete("/web/a");
    daemon.delete("/web/b");
    // Exactly half is left, which is allowed, however many states were seen on the way.
    daemon.until_file("seen", |text| text.ends_with("c=c d=d\n"));
    daemon.until_converged("w");
    let before = runs(&daemon);

    take_away(&daemon);
    let watch = until_held(&daemon);
    let why = watch["guard"].as_str().unwrap();
    assert!(why.ends_with("2 were applied last, and max_shrink is 50%"), "{why}");
    let told = daemon.say(&["explain", "w"]);
    assert!(told.contains(why) && told.contains("twitcher release w"), "{told}");
    assert!(daemon.log().contains("twitcher release w"), "{}", daemon.log());
    let shown = daemon.say(&["status", "--failed"]);
    assert!(shown.contains("1 HELD") && shown.contains("⊘ w"), "{shown}");
    assert_eq!(daemon.ask(&["status", "--check"]).status.code(), Some(1));
    assert_eq!(daemon.ask(&["status", "--check=nagios"]).status.code(), Some(2));
    assert_eq!(daemon.ask(&["wait", "w"]).status.code(), Some(3));
    refused(&daemon, &["trigger", "w"], "twitcher release w");
    refused(&daemon, &["trigger", "--cached", "w"], "twitcher release w");

    // Back to what was applied: nothing is left to do.
    put_back(&daemon);
    daemon.until_converged("w");
    refused(&daemon, &["release", "w"], "no held state");
    assert_eq!(runs(&daemon), before, "{}", daemon.read("seen"));

    take_away(&daemon);
    until_held(&daemon);
    daemon.say(&["pause", "w"]);
    refused(&daemon, &["release", "w"], "paused");
    daemon.say(&["resume", "w"]);
    until_held(&daemon);
    assert_eq!(runs(&daemon), before);
    daemon.put("/web/x", "x");
    daemon.until_watch("w", |watch| watch["converged"] == true);
    assert!(daemon.read("seen").ends_with(" x=x\n"), "one of two passes: {}", daemon.read("seen"));
}

#[test]
fn what_is_held_is_held_across_restarts_and_reloads_and_a_released_state_stays_released() {
    let mut daemon = four("min_entries = 2\non_delete = 'run'");
    let applied = runs(&daemon);
    for name in ["a", "b", "c"] {
        daemon.delete(&format!("/web/{name}"));
    }
    until_held(&daemon);
    let passed = runs(&daemon);
    daemon.stop();
    daemon.run();
    until_held(&daemon);
    daemon.kill();
    daemon.run();
    until_held(&daemon);
    // Another definition judges it anew.
    daemon.write("w.toml", &watch(&daemon, "min_entries = 3\non_delete = 'run'"));
    daemon.say(&["reload"]);
    daemon.until_watch("w", |watch| watch["guard"].as_str().is_some_and(|why| why.ends_with("is 3")));
    assert_eq!(runs(&daemon), passed, "{}", daemon.read("seen"));

    let said = daemon.say(&["release", "w"]);
    assert!(said.contains("w goes on with version"), "{said}");
    daemon.until_converged("w");
    assert!(daemon.read("seen").ends_with("change d=d\n"), "{}", daemon.read("seen"));
    // It was applied, so that it is not held by the next start either.
    daemon.write("w.toml", &watch(&daemon, "min_entries = 3\non_delete = 'run'\nrun_on_load = 'changed'"));
    daemon.say(&["reload"]);
    daemon.stop();
    daemon.run();
    daemon.until_converged("w");
    assert_eq!(runs(&daemon), passed + 1, "{}", daemon.read("seen"));

    // The release was for that version only.
    daemon.put("/web/e", "e");
    until_held(&daemon);
    daemon.delete("/web/d");
    daemon.delete("/web/e");
    std::fs::remove_dir(daemon.path("keys/web")).unwrap();
    daemon.until_watch("w", |watch| watch["held"] == true && watch["version"].is_null());
    assert_eq!(runs(&daemon), passed + 1);
    daemon.say(&["release", "w"]);
    daemon.until_converged("w");
    assert!(daemon.read("seen").ends_with("delete \n"), "{}", daemon.read("seen"));
    assert!(applied <= passed);
}

#[test]
fn an_emptied_key_ends_the_retries_of_what_was_there_and_is_held() {
    let daemon = four("min_entries = 1\nretries = 'unlimited'\nretry_delay = '50ms'");
    let failing = watch(&daemon, "min_entries = 1\nretries = 'unlimited'\nretry_delay = '50ms'");
    daemon.write("w.toml", &failing.replace("seen'''", "seen; exit 1'''"));
    daemon.until_watch("w", |watch| watch["state"] == "retrying");
    take_away(&daemon);
    until_held(&daemon);
    let before = runs(&daemon);
    stays_silent_for(Duration::from_millis(300), "a held state was run", || runs(&daemon) == before);
    // With on_delete = "ignore" there is nothing to run for a deletion that passes.
    let said = daemon.say(&["release", "w"]);
    assert!(said.contains("w goes on without its key"), "{said}");
    daemon.until_watch("w", |watch| watch["state"] == "idle" && watch["converged"] == true);
    assert_eq!(runs(&daemon), before);
}

#[test]
fn a_run_of_a_killed_daemon_goes_on_while_the_state_that_came_meanwhile_is_held() {
    let mut daemon = Daemon::prepare("");
    let go = daemon.path("go").display().to_string();
    daemon.put("/web/a", "a");
    daemon.put("/web/b", "b");
    let text = watch(&daemon, "min_entries = 2\nrun_mode = 'restart'");
    daemon.write(
        "w.toml",
        &text.replace("action = '''", &format!("action = '''until test -e {go}; do sleep 0.05; done; ")),
    );
    daemon.run();
    daemon.until_watch("w", |watch| watch["state"] == "running");
    daemon.kill();
    daemon.delete("/web/b");
    daemon.run();
    let watch = daemon.until_watch("w", |watch| watch["held"] == true);
    assert_eq!(watch["state"], "running", "a held state ends no run: {watch:#}");
    std::fs::write(&go, "").unwrap();
    daemon.until_file("seen", |text| text == "load a=a b=b\n");
    until_held(&daemon);
    stays_silent_for(Duration::from_millis(300), "a held state was run", || runs(&daemon) == 1);
    daemon.say(&["release", "w"]);
    daemon.until_file("seen", |text| text.ends_with("a=a\n"));
}

#[test]
fn a_ledger_without_a_count_is_said_and_the_first_state_is_recorded() {
    let mut daemon = four("run_on_load = 'changed'");
    daemon.stop();
    // Older versions recorded no count.
    let ledger = daemon.path("state").join("ledger");
    let files: Vec<_> = if ledger.is_dir() {
        std::fs::read_dir(ledger).unwrap().map(|file| file.unwrap().path()).collect()
    } else {
        vec![ledger]
    };
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, text.replace(",\"entries\":4", "")).unwrap();
    }
    for name in ["a", "b", "c"] {
        daemon.delete(&format!("/web/{name}"));
    }
    daemon.write("w.toml", &watch(&daemon, "run_on_load = 'changed'\nmax_shrink = '50%'"));
    daemon.run();
    daemon.until_converged("w");
    assert!(daemon.read("seen").ends_with("d=d\n"), "{}", daemon.read("seen"));
    std::fs::remove_dir_all(daemon.path("keys/web")).unwrap();
    until_held(&daemon);
}
