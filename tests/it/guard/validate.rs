//! `validate`: a program that judges each state before it is applied.

use super::{refused, runs, until_held};
use crate::fixture::daemon::{Daemon, stays_silent_for, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::ZooKeeper;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// A watch of /web whose runs append a line to `seen`, and whose `validate` appends one to `asked` and refuses what
/// contains `bad`.
fn watch(daemon: &Daemon, fields: &str) -> String {
    judged_by(
        daemon,
        &format!(
            "state=$(cat); echo \"$TWITCHER_REASON $TWITCHER_VERSION $(id -u) $OWN $state\" >> {}; \
             case $state in *bad*) echo no good; exit 4;; esac",
            daemon.path("asked").display()
        ),
        fields,
    )
}

fn judged_by(daemon: &Daemon, validate: &str, fields: &str) -> String {
    let seen = daemon.path("seen");
    format!(
        "[[watch]]\nname = 'w'\nkey = '/web'\n{fields}\nenv = {{ OWN = 'mine' }}\n\
         validate = '''{validate}'''\naction = '''echo \"$TWITCHER_REASON $(echo $(cat))\" >> {}'''\n",
        seen.display()
    )
}

/// A daemon whose default store is its directory of keys.
fn on_directory(settings: &str) -> Daemon {
    Daemon::prepare(settings)
}

fn on_store(url: &str) -> Daemon {
    Daemon::prepare(&format!("default_store = 'main'\n[store.main]\nurl = '{url}'"))
}

fn put(daemon: &Daemon, value: &str) {
    daemon.say(&["put", "--timeout", "60s", "/web", value]);
}

fn lines(daemon: &Daemon, file: &str) -> usize {
    daemon.read(file).lines().count()
}

/// Until the held state is another one than `before`.
fn until_held_anew(daemon: &Daemon, before: &Value) -> Value {
    daemon.until_watch("w", |watch| watch["state"] == "held" && watch["version"] != before["version"])
}

fn a_state_that_validate_refuses_is_held(url: &str) {
    let mut daemon = on_store(url);
    put(&daemon, "1");
    daemon.write("w.toml", &watch(&daemon, ""));
    daemon.run();
    daemon.until_converged("w");
    assert_eq!(daemon.read("seen"), "load 1\n");
    assert!(daemon.read("asked").starts_with("load "), "{}", daemon.read("asked"));

    put(&daemon, "bad 2");
    let held = until_held(&daemon);
    let why = held["guard"].as_str().unwrap();
    assert_eq!(why, "validate refused it with exit code 4 and said: \"no good\"");
    assert!(held["running"].as_array().unwrap().is_empty() && held["failures"] == 0, "{held:#}");
    let told = daemon.say(&["explain", "w"]);
    assert!(told.contains(why) && told.contains("twitcher release w"), "{told}");
    refused(&daemon, &["trigger", "w"], "twitcher release w");
    // No run, and so nothing in the history.
    assert_eq!(daemon.say(&["history", "w", "--json"]).matches("\"run\"").count(), 1);

    // Judged again after a restart, however the daemon ended.
    let asked = lines(&daemon, "asked");
    daemon.stop();
    daemon.run();
    until_held(&daemon);
    daemon.kill();
    daemon.run();
    until_held(&daemon);
    assert_eq!(lines(&daemon, "asked"), asked + 2, "{}", daemon.read("asked"));

    // What passes goes on; what was released is not asked about again, also not by a restart.
    put(&daemon, "3");
    daemon.until_file("seen", |text| text.ends_with("change 3\n"));
    daemon.until_converged("w");
    put(&daemon, "bad 4");
    until_held_anew(&daemon, &held);
    daemon.say(&["release", "w"]);
    daemon.until_file("seen", |text| text.ends_with("change bad 4\n"));
    daemon.until_converged("w");
    let asked = lines(&daemon, "asked");
    daemon.stop();
    daemon.run();
    daemon.until_converged("w");
    assert_eq!(lines(&daemon, "asked"), asked, "{}", daemon.read("asked"));

    // The deletion of one value is not judged: it ends what is held.
    put(&daemon, "bad 5");
    daemon.until_watch("w", |watch| watch["held"] == true);
    daemon.say(&["del", "--timeout", "60s", "/web"]);
    let gone = daemon.until_watch("w", |watch| watch["version"].is_null() && watch["held"] == false);
    assert_eq!(gone["converged"], true, "{gone:#}");
}

#[test]
fn a_state_of_etcd_that_validate_refuses_is_held() {
    let etcd = Etcd::start();
    a_state_that_validate_refuses_is_held(&etcd.url());
}

#[test]
fn a_state_of_zookeeper_that_validate_refuses_is_held() {
    let server = ZooKeeper::start();
    a_state_that_validate_refuses_is_held(&server.url());
}

#[test]
fn a_state_of_a_directory_that_validate_refuses_is_held() {
    let keys = tempfile::tempdir().unwrap();
    a_state_that_validate_refuses_is_held(&format!("dir://{}", keys.path().display()));
}

#[test]
fn an_empty_tree_is_judged_and_a_deletion_that_runs_is_run_once_it_passed() {
    let mut daemon = on_directory("");
    daemon.put("/web/a", "1");
    let empty = "state=$(cat); test -n \"$state\" || { echo nothing; exit 1; }";
    let fields = "watch_type = 'tree'\nformat = 'lines'\non_delete = 'run'";
    daemon.write("w.toml", &judged_by(&daemon, empty, fields));
    daemon.run();
    daemon.until_converged("w");
    super::take_away(&daemon);
    let held = until_held(&daemon);
    assert!(held["guard"].as_str().unwrap().ends_with("exit code 1 and said: \"nothing\""), "{held:#}");
    assert_eq!(runs(&daemon), 1);
    // Back to what was applied: nothing is left to do.
    super::put_back(&daemon);
    daemon.until_converged("w");
    assert_eq!(runs(&daemon), 1);
    daemon.write("w.toml", &judged_by(&daemon, "cat > /dev/null", fields));
    daemon.say(&["reload"]);
    daemon.until_converged("w");
    super::take_away(&daemon);
    daemon.until_file("seen", |text| text.ends_with("delete \n"));
}

/// `validate` that writes its process id and waits for a file.
fn waiting(daemon: &Daemon, rest: &str) -> String {
    let (pid, go) = (daemon.path("pid"), daemon.path("go"));
    format!(
        "read state; echo \"$$ $state\" >> {}; until test -e {}; do sleep 0.05; done; {rest}",
        pid.display(),
        go.display()
    )
}

fn pid_of(daemon: &Daemon, line: usize) -> i32 {
    let text = daemon.until_file("pid", |text| text.matches('\n').count() > line);
    text.lines().nth(line).unwrap().split(' ').next().unwrap().parse().unwrap()
}

fn lives(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn until_gone(pid: i32) {
    until("its end", || (!lives(pid)).then_some(()));
}

#[test]
fn a_newer_state_ends_the_program_and_a_run_beside_it_is_not_signalled_before_it_has_passed() {
    let mut daemon = on_directory("shutdown_grace = '100ms'");
    let fields = "run_mode = 'restart'\nformat = 'lines'\nkill_after = '100ms'";
    let text = judged_by(&daemon, &waiting(&daemon, "test \"$state\" != bad"), fields);
    let text = text
        .replace("action = '''", "action = '''read state; echo begun $state >> \"$SEEN\"; exec sleep 1000; ");
    let seen = daemon.path("seen").display().to_string();
    daemon.write("w.toml", &text.replace("OWN = 'mine'", &format!("SEEN = '{seen}'")));
    put(&daemon, "one");
    daemon.run();
    let first = pid_of(&daemon, 0);
    let waits = daemon.watch("w");
    assert_eq!((&waits["state"], &waits["converged"]), (&"waiting".into(), &false.into()), "{waits:#}");
    assert!(daemon.say(&["explain", "w"]).contains("validate has been judging it"));
    // A newer one: the program of the older ends, whose state is not judged any more.
    put(&daemon, "two");
    let second = pid_of(&daemon, 1);
    assert!(!lives(first), "two at once");
    std::fs::write(daemon.path("go"), "").unwrap();
    daemon.until_file("seen", |text| text == "begun two\n");
    until_gone(second);
    let running = daemon.until_watch("w", |watch| watch["state"] == "running");
    let action = i32::try_from(running["running"][0]["pid"].as_i64().unwrap()).unwrap();
    // While the next is judged, and when it is refused, what runs goes on.
    std::fs::remove_file(daemon.path("go")).unwrap();
    put(&daemon, "bad");
    pid_of(&daemon, 2);
    assert!(lives(action));
    std::fs::write(daemon.path("go"), "").unwrap();
    let held = daemon.until_watch("w", |watch| watch["held"] == true);
    assert_eq!(held["state"], "running", "{held:#}");
    assert!(lives(action));
    put(&daemon, "three");
    daemon.until_file("seen", |text| text == "begun two\nbegun three\n");
    assert!(!lives(action));
    daemon.stop();
}

#[test]
fn a_pause_a_reload_and_the_end_of_the_daemon_end_the_program_and_it_is_begun_again() {
    let mut daemon = on_directory("");
    let hangs = format!("trap '' TERM; {}", waiting(&daemon, ""));
    let fields = "kill_after = '100ms'\nformat = 'lines'";
    daemon.write("w.toml", &judged_by(&daemon, &hangs, fields));
    put(&daemon, "one");
    daemon.run();
    let first = pid_of(&daemon, 0);
    daemon.say(&["pause", "w"]);
    until_gone(first);
    assert_eq!(daemon.watch("w")["held"], false, "a judgement that was not given holds nothing");
    daemon.say(&["resume", "w"]);
    let second = pid_of(&daemon, 1);
    // Another definition judges it anew, with the program of before gone.
    daemon.write("w.toml", &judged_by(&daemon, &format!("{hangs} true"), fields));
    daemon.say(&["reload"]);
    let third = pid_of(&daemon, 2);
    assert!(!lives(second), "two at once");
    daemon.stop();
    until_gone(third);
    daemon.run();
    let fourth = pid_of(&daemon, 3);
    // A killed daemon leaves it, and the next ends it.
    daemon.kill();
    assert!(lives(fourth));
    daemon.run();
    until_gone(fourth);
    std::fs::write(daemon.path("go"), "").unwrap();
    daemon.until_converged("w");
    assert_eq!(daemon.read("seen"), "load one\n");
}

#[test]
fn what_takes_too_long_cannot_start_or_is_killed_is_held_and_never_tried_again() {
    let mut daemon = on_directory("");
    put(&daemon, "1");
    let hangs = format!("echo $$ >> {}; echo here; sleep 1000", daemon.path("pid").display());
    daemon.write(
        "w.toml",
        &judged_by(&daemon, &hangs, "timeout = '300ms'\nretries = 'unlimited'\nretry_delay = '10ms'"),
    );
    daemon.run();
    let held = until_held(&daemon);
    let why = held["guard"].as_str().unwrap();
    assert_eq!(why, "validate took more than 0.3 s and was ended and said: \"here\"");
    stays_silent_for(Duration::from_millis(300), "asked again", || lines(&daemon, "pid") == 1);
    let none = "validate = ['/nowhere/check']\naction = 'true'\n";
    daemon.write("w.toml", &format!("[[watch]]\nname = 'w'\nkey = '/web'\n{none}"));
    let checked = daemon.ask(&["check"]);
    let said =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("/nowhere/check"), "{said}");
    daemon.say(&["reload"]);
    daemon.until_watch("w", |watch| {
        watch["guard"].as_str().is_some_and(|why| why.starts_with("validate did not start: "))
    });
    daemon.write("w.toml", &judged_by(&daemon, "kill -SEGV $$", ""));
    daemon.say(&["reload"]);
    daemon.until_watch("w", |watch| {
        watch["guard"].as_str().is_some_and(|why| why.starts_with("validate was ended by "))
    });
    assert_eq!(runs(&daemon), 0);
}

#[test]
fn a_trigger_waits_for_the_judgement_and_a_dry_run_tells_who_judges() {
    let mut daemon = on_directory("");
    put(&daemon, "bad");
    let validate = waiting(&daemon, "test \"$state\" != bad");
    // At load nothing is run, and the state is judged nevertheless.
    let fields = "run_on_load = false\nformat = 'lines'\non_give_up = '''echo \"$TWITCHER_OUTCOME $TWITCHER_EXIT_CODE\" >> FILE'''";
    let told = daemon.path("told").display().to_string();
    daemon.write("w.toml", &judged_by(&daemon, &validate, &fields.replace("FILE", &told)));
    daemon.run();
    pid_of(&daemon, 0);
    let shown = daemon.say(&["trigger", "--dry-run", "w"]);
    assert!(shown.contains("\nvalidate    /bin/sh\n"), "{shown}");
    std::thread::scope(|scope| {
        let triggered = scope.spawn(|| daemon.ask(&["trigger", "w"]));
        daemon.until_watch("w", |watch| watch["state"] == "waiting");
        std::fs::write(daemon.path("go"), "").unwrap();
        let triggered = triggered.join().unwrap();
        let error = String::from_utf8_lossy(&triggered.stderr).into_owned();
        assert_eq!(triggered.status.code(), Some(1), "{error}");
        assert!(error.contains("twitcher release w"), "{error}");
    });
    until_held(&daemon);
    daemon.until_file("told", |text| text == "held 1\n");
    let shown = daemon.say(&["trigger", "--dry-run", "w"]);
    assert!(shown.contains("refused") && shown.contains("twitcher release w"), "{shown}");
    put(&daemon, "good");
    daemon.until_converged("w");
    assert_eq!(daemon.say(&["trigger", "w"]).trim(), "w runs with the current state");
    daemon.until_file("seen", |text| text == "change good\ntrigger good\n");
}

#[test]
fn a_trigger_whose_key_is_deleted_while_validate_judges_is_refused() {
    let mut daemon = on_directory("");
    put(&daemon, "one");
    // At load nothing is run, and the state is judged nevertheless.
    let fields = "run_on_load = false\nformat = 'lines'";
    daemon.write("w.toml", &judged_by(&daemon, &waiting(&daemon, ""), fields));
    daemon.run();
    pid_of(&daemon, 0);
    std::thread::scope(|scope| {
        let triggered = scope.spawn(|| daemon.ask(&["trigger", "w"]));
        daemon.until_watch("w", |watch| watch["state"] == "waiting" && watch["converged"] == false);
        // It waits for the judgement once `explain` tells of a run that is requested.
        until("the trigger", || daemon.say(&["explain", "w"]).contains("(trigger, attempt 1").then_some(()));
        daemon.say(&["del", "--timeout", "60s", "/web"]);
        let triggered = triggered.join().unwrap();
        let error = String::from_utf8_lossy(&triggered.stderr).into_owned();
        assert_eq!(triggered.status.code(), Some(1), "{error}");
        assert!(error.contains("the key of w does not exist"), "{error}");
    });
    assert_eq!(runs(&daemon), 0);
}

#[test]
fn in_parallel_mode_each_update_is_validated_alone_and_in_order() {
    let etcd = Etcd::start();
    let mut daemon = on_store(&etcd.url());
    put(&daemon, "1");
    daemon.write("w.toml", &watch(&daemon, "run_mode = 'parallel'\nmax_parallel = 1"));
    daemon.run();
    daemon.until_converged("w");
    for value in ["2", "bad 3", "4", "bad 5", "6"] {
        put(&daemon, value);
    }
    daemon.until_file("seen", |text| text.ends_with("change 6\n"));
    daemon.until_converged("w");
    assert_eq!(daemon.read("seen"), "load 1\nchange 2\nchange 4\nchange 6\n");
    let asked = daemon.read("asked");
    let asked: Vec<&str> = asked.lines().map(|line| line.split_once("mine ").unwrap().1).collect();
    assert_eq!(asked, ["1", "2", "bad 3", "4", "bad 5", "6"]);
}

#[test]
fn it_waits_for_one_of_the_processes_and_a_discarded_state_is_not_judged() {
    let mut daemon = on_directory("max_processes = 1");
    let go = daemon.path("go").display().to_string();
    put(&daemon, "1");
    let text = watch(&daemon, "run_mode = 'queue'");
    let slow = |text: &str| {
        text.replace("action = '''", &format!("action = '''until test -e {go}; do sleep 0.05; done; "))
    };
    daemon.write("w.toml", &slow(&text));
    daemon.run();
    daemon.until_watch("w", |watch| watch["state"] == "running");
    put(&daemon, "2");
    let waits = daemon.until_watch("w", |watch| watch["waiting_for_slot"] == true);
    assert_eq!(waits["state"], "running");
    let told = daemon.say(&["explain", "w"]);
    assert!(told.contains("validate waits for its turn"), "{told}");
    assert_eq!(lines(&daemon, "asked"), 1);
    std::fs::write(&go, "").unwrap();
    daemon.until_file("seen", |text| text == "load 1\nchange 2\n");
    assert_eq!(lines(&daemon, "asked"), 2);
    std::fs::remove_file(&go).unwrap();
    daemon.write("w.toml", &slow(&watch(&daemon, "run_mode = 'discard'\nrun_on_load = 'changed'")));
    daemon.say(&["reload"]);
    daemon.until_converged("w");
    put(&daemon, "3");
    daemon.until_watch("w", |watch| watch["state"] == "running");
    put(&daemon, "4");
    daemon.until_watch("w", |watch| watch["version"] != watch["running"][0]["version"]);
    std::fs::write(&go, "").unwrap();
    daemon.until_watch("w", |watch| watch["state"] == "idle");
    assert_eq!(lines(&daemon, "asked"), 3, "{}", daemon.read("asked"));
    daemon.signal(Signal::SIGTERM);
}

#[test]
fn a_service_that_fills_its_share_of_the_processes_is_restarted_with_a_state_that_passed() {
    let mut daemon = on_directory("max_processes = 2\nshutdown_grace = '100ms'");
    let seen = daemon.path("seen").display().to_string();
    daemon.write(
        "w.toml",
        &format!(
            "[[watch]]\nname = 'w'\nkey = '/web'\nrun_mode = 'restart'\nvalidate = 'true'\n\
             action = 'echo $(cat) >> {seen}; exec sleep 1000'\n"
        ),
    );
    put(&daemon, "one");
    daemon.run();
    daemon.until_file("seen", |text| text == "one\n");
    put(&daemon, "two");
    daemon.until_file("seen", |text| text == "one\ntwo\n");
    // An adopted one has no slot of the next daemon.
    daemon.kill();
    daemon.run();
    put(&daemon, "three");
    daemon.until_file("seen", |text| text == "one\ntwo\nthree\n");
    daemon.stop();
}

#[test]
fn a_state_that_was_discarded_while_the_last_try_failed_is_judged_after_a_restart() {
    let mut daemon = on_directory("");
    let (go, told) = (daemon.path("go").display().to_string(), daemon.path("told").display().to_string());
    put(&daemon, "1");
    let fields = format!(
        "run_mode = 'discard'\nretries = 0\non_give_up = '''echo \"$TWITCHER_OUTCOME $TWITCHER_VERSION\" >> {told}'''"
    );
    let fails = format!("action = '''until test -e {go}; do sleep 0.05; done; exit 1; ");
    daemon.write("w.toml", &watch(&daemon, &fields).replace("action = '''", &fails));
    daemon.run();
    let running = daemon.until_watch("w", |watch| watch["state"] == "running");
    let version = running["version"].as_str().unwrap().to_owned();
    put(&daemon, "bad 2");
    let newer = daemon.until_watch("w", |watch| watch["version"] != version.as_str());
    std::fs::write(&go, "").unwrap();
    daemon.until_file("told", |text| text == format!("failed {version}\n"));
    daemon.until_watch("w", |watch| watch["state"] == "failed");
    assert_eq!(lines(&daemon, "asked"), 1, "{}", daemon.read("asked"));
    // No run has met the newer one, and neither has the guard.
    daemon.stop();
    daemon.run();
    until_held(&daemon);
    assert!(daemon.read("asked").ends_with("bad 2\n"), "{}", daemon.read("asked"));
    let newer = newer["version"].as_str().unwrap();
    daemon.until_file("told", |text| text == format!("failed {version}\nheld {newer}\n"));
}
