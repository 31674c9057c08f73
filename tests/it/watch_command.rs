//! `twitcher watch` on the command line, against each kind of store.

use nix::sys::signal::Signal;

use crate::fixture::daemon::until;
use crate::fixture::etcd::Etcd;
use crate::fixture::program::{Program, good, program, run};
use crate::fixture::zookeeper::ZooKeeper;

fn directory() -> (tempfile::TempDir, String) {
    let place = tempfile::Builder::new().prefix("twitcher-keys.").tempdir().unwrap();
    let url = format!("dir://{}", place.path().display());
    (place, url)
}

/// What must hold on any store.
fn each_state_reaches_the_command(store: &str) {
    good(store, &["put", "/k/a", "one"]);
    let shown = r#"echo "[$TWITCHER_KEY $TWITCHER_REASON $(cat)]""#;
    let mut data = Program::start(store, &["watch", "/k/a", "--settle", "50ms", "--", "sh", "-c", shown]);
    let mut tree = Program::start(store, &["watch", "/k", "--tree", "--no-settle", "--", "sh", "-c", shown]);
    let mut children =
        Program::start(store, &["watch", "/k", "--children", "--no-settle", "--", "sh", "-c", shown]);
    data.says("[/k/a load one]");
    tree.says(r#""a":"one""#);
    children.says("[/k load a]");
    good(store, &["put", "/k/a", "two"]);
    good(store, &["put", "/k/b", "three"]);
    data.says("[/k/a change two]");
    tree.says(r#""b":"three""#);
    children.says("[/k change a\nb]");
    assert_eq!(data.err(), "");
    for (watch, signal, code) in [
        (&mut data, Signal::SIGTERM, 143),
        (&mut tree, Signal::SIGINT, 130),
        (&mut children, Signal::SIGHUP, 129),
    ] {
        watch.signal(signal);
        assert_eq!(watch.code(), Some(code));
    }

    // Only what is newer than what was seen.
    let shown: serde_json::Value = serde_json::from_str(&good(store, &["get", "/k/a", "--json"])).unwrap();
    let version = shown["version"].as_str().unwrap();
    let args = ["watch", "/k/a", "--no-settle", "--from", version, "--", "cat"];
    let mut seen = Program::start(store, &args);
    good(store, &["put", "/k/a", "four"]);
    seen.says("four");
    assert_eq!(seen.out(), "four", "the state that was seen before is not run");
    let mut unseen = Program::start(store, &args);
    unseen.says("four");
}

#[test]
fn each_state_of_etcd_reaches_the_command() {
    each_state_reaches_the_command(&Etcd::start().url());
}

#[test]
fn each_state_of_zookeeper_reaches_the_command() {
    each_state_reaches_the_command(&ZooKeeper::start().url());
}

#[test]
fn each_state_of_a_directory_reaches_the_command() {
    let (_place, store) = directory();
    each_state_reaches_the_command(&store);
}

#[test]
fn a_deletion_below_a_tree_is_newer_than_the_revision_before_it() {
    let etcd = Etcd::start();
    let store = &etcd.url();
    good(store, &["put", "/t/a", "1"]);
    good(store, &["put", "/t/b", "2"]);
    let shown: serde_json::Value = serde_json::from_str(&good(store, &["get", "/t/b", "--json"])).unwrap();
    let version = shown["version"].as_str().unwrap();
    good(store, &["del", "/t/a"]);
    let args = ["watch", "/t", "--tree", "--no-settle", "--once", "--from", version, "--", "cat"];
    let mut watch = Program::start(store, &args);
    assert_eq!(watch.code(), Some(0));
    assert_eq!(watch.out().replace(['\n', ' '], ""), r#"{"b":"2"}"#);
}

/// `--no-settle` runs every update: those since a revision, and then new ones, each once and in order.
#[test]
fn every_update_since_a_revision_is_run() {
    let etcd = Etcd::start();
    let store = &etcd.url();
    for number in 1..=5 {
        good(store, &["put", "/h/k", &number.to_string()]);
        good(store, &["put", "/beside", "x"]);
    }
    good(store, &["put", "/h/other", "o"]);
    good(store, &["del", "/h/other"]);
    let line = "cat; echo \" $TWITCHER_REASON $TWITCHER_VERSION\"; sleep 0.1";
    let args = |from: &'static str, key: &'static str| {
        ["watch", key, "--no-settle", "--from", from, "--", "sh", "-c", line]
    };
    // Revision 1 is the empty store; 4 is the second write.
    let mut data = Program::start(store, &args("4", "/h/k"));
    data.says("5 change 10\n");
    good(store, &["put", "/h/k", "6"]);
    good(store, &["put", "/h/k", "7"]);
    data.says("7 change 15\n");
    let expected = "3 change 6\n4 change 8\n5 change 10\n6 change 14\n7 change 15\n";
    assert_eq!((data.out().as_str(), data.err().as_str()), (expected, ""));
    let watch = ["watch", "/h", "--children", "--no-settle", "--from", "9", "--", "sh", "-c", "cat; echo ."];
    let mut children = Program::start(store, &watch);
    children.says("k\n.\n");
    assert_eq!(children.out(), "k\nother\n.\nk\n.\n");
    let watch = ["watch", "/h", "--tree", "--no-settle", "--from", "11", "--", "sh", "-c", "cat"];
    let mut tree = Program::start(store, &watch);
    tree.says("\"7\"");
    let lines = ["{\"k\":\"5\",\"other\":\"o\"}", "{\"k\":\"5\"}", "{\"k\":\"6\"}", "{\"k\":\"7\"}"];
    assert_eq!(tree.out().lines().collect::<Vec<_>>(), lines);
    // Before the key existed.
    let mut whole = Program::start(store, &args("1", "/h/k"));
    whole.says("7 change 15\n");
    assert!(whole.out().starts_with("1 change 2\n2 change 4\n"), "{}", whole.out());
    // With a settle time it is one run with what is there now, and none where nothing is newer.
    let args = ["watch", "/h/k", "--settle", "50ms", "--from", "4", "--once", "--", "cat"];
    let mut settled = Program::start(store, &args);
    assert_eq!((settled.code(), settled.out().as_str()), (Some(0), "7"));
}

/// A read at revision 0 returns the current state.
#[test]
fn every_update_since_the_beginning_is_run() {
    let etcd = Etcd::start();
    let store = &etcd.url();
    for number in 1..=4 {
        good(store, &["put", "/h/k", &number.to_string()]);
    }
    let line = "echo \"$(cat) $TWITCHER_VERSION\"";
    let args = ["watch", "/h/k", "--no-settle", "--from", "0", "--", "sh", "-c", line];
    let mut all = Program::start(store, &args);
    all.says("4 5\n");
    assert_eq!((all.out().as_str(), all.err().as_str()), ("1 2\n2 3\n3 4\n4 5\n", ""));
    etcd.ctl(&["compact", "4"]);
    let mut forgotten = Program::start(store, &args);
    forgotten.complains("etcd does not know revision");
    forgotten.says("4 5\n");
    assert_eq!(forgotten.out(), "4 5\n");
    let args = ["watch", "/h/k", "--settle", "50ms", "--from", "0", "--once", "--", "sh", "-c", line];
    let mut settled = Program::start(store, &args);
    assert_eq!((settled.code(), settled.out().as_str()), (Some(0), "4 5\n"));
}

#[test]
fn compacted_updates_are_reported_and_the_newest_state_is_run() {
    let mut etcd = Etcd::start();
    let store = &etcd.url();
    for number in 1..=5 {
        good(store, &["put", "/h/k", &number.to_string()]);
    }
    etcd.ctl(&["compact", "5"]);
    let args = ["watch", "/h/k", "--no-settle", "--from", "3", "--", "sh", "-c", "cat; echo"];
    let mut watch = Program::start(store, &args);
    watch.says("5\n");
    watch.complains("etcd does not know revision 3 of /h/k");
    good(store, &["put", "/h/k", "6"]);
    watch.says("6\n");
    // A new connection continues where the last one ended.
    etcd.kill();
    watch.complains("cannot be reached");
    etcd.start_again();
    good(store, &["put", "/h/k", "7"]);
    watch.says("7\n");
    assert_eq!(watch.out(), "5\n6\n7\n");
    assert_eq!(watch.err().matches("does not know").count(), 1);
    // Nothing is newer than a future revision.
    let args = ["watch", "/h/k", "--no-settle", "--from", "1000", "--", "sh", "-c", "cat; echo"];
    let mut watch = Program::start(store, &args);
    watch.complains("etcd does not know revision 1000");
    good(store, &["put", "/h/k", "8"]);
    watch.says("8\n");
    assert_eq!(watch.out(), "8\n");
}

#[test]
fn a_version_of_another_kind_of_store_is_wrong_usage() {
    let (_place, store) = directory();
    let hash = "0123456789abcdef0123456789abcdef";
    for (store, from) in
        [(store.as_str(), "7"), ("etcd://127.0.0.1:1", hash), ("zookeeper://127.0.0.1:1", hash)]
    {
        let output = run(store, &["watch", "/k", "--from", from, "--", "true"]);
        assert_eq!(output.status.code(), Some(2), "{store}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("versions are"), "{store}");
    }
}

#[test]
fn an_invalid_version_or_duration_is_wrong_usage() {
    for (option, value, why) in [
        ("--from", "x", "a version is a number such as 1042"),
        ("--from", "-3", "a version is a number such as 1042"),
        ("--from", "99999999999999999999", "a version is a number such as 1042"),
        ("--timeout", "soon", "write it like 250ms"),
        ("--timeout", "-1", "write it like 250ms"),
        ("--timeout", "", "write it like 250ms"),
        ("--timeout", "0", "leave it out for no limit"),
        ("--settle", "-1", "write it like 250ms"),
    ] {
        let output = run("etcd://127.0.0.1:1", &["watch", "/k", "--once", option, value, "--", "true"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{option} {value}: {errors}");
        assert!(errors.contains(why) && errors.contains(option), "{option} {value}: {errors}");
    }
}

#[test]
fn arguments_of_the_command_may_be_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let (_place, store) = directory();
    good(&store, &["put", "/k", "v"]);
    let mut command = std::process::Command::new(program());
    command.env("TWITCHER_STORE", &store).args(["watch", "/k", "--no-settle", "--once", "--"]);
    command.args(["sh", "-c", "printf %s \"$1\" | od -An -tx1", "sh"]);
    command.arg(std::ffi::OsStr::from_bytes(b"a\xff"));
    let mut watch = Program::start_command(command);
    assert_eq!(watch.code(), Some(0), "{}", watch.err());
    assert_eq!(watch.out().trim(), "61 ff");
}

#[test]
fn on_delete_run_runs_a_deletion() {
    let (_place, store) = directory();
    good(&store, &["put", "/k", "v"]);
    let line = "echo \"[$(cat) $TWITCHER_REASON]\"";
    let args = ["watch", "/k", "--no-settle", "--on-delete", "run", "--", "sh", "-c", line];
    let mut runs = Program::start(&store, &args);
    let mut ignores = Program::start(&store, &["watch", "/k", "--no-settle", "--", "sh", "-c", line]);
    runs.says("[v load]");
    ignores.says("[v load]");
    good(&store, &["del", "/k"]);
    runs.says("[ delete]");
    good(&store, &["put", "/k", "w"]);
    ignores.says("[w change]");
    assert!(!ignores.out().contains("[ "), "{}", ignores.out());
}

/// An end that `restart` caused is not a failure.
#[test]
fn a_restart_is_no_failure() {
    let (_place, store) = directory();
    good(&store, &["put", "/k", "0"]);
    let restarted = |line: &str| {
        let args = ["watch", "/k", "--no-settle", "--run-mode", "restart", "--", "sh", "-c", line];
        let mut watch = Program::start(&store, &args);
        for value in ["1", "2", "3"] {
            good(&store, &["put", "/k", value]);
            watch.says(&format!("[{value}]"));
        }
        watch.signal(Signal::SIGTERM);
        assert_eq!(watch.code(), Some(143));
        // Not the shell's message about its own end.
        assert!(!watch.err().contains("WARN"), "{}", watch.err());
    };
    restarted("echo \"[$(cat)]\"; exec sleep 600");
    restarted("echo \"[$(cat)]\"; trap 'exit 143' TERM; while :; do sleep 0.1; done");
}

#[test]
fn updates_in_quick_succession_are_one_run() {
    let (_place, store) = directory();
    let args = ["watch", "/k", "--settle", "2s", "--settle-max", "60s", "--", "sh", "-c", "cat; echo"];
    let mut watch = Program::start(&store, &args);
    for number in 1..=5 {
        good(&store, &["put", "/k", &number.to_string()]);
    }
    watch.says("5\n");
    assert!(watch.out().lines().count() < 5, "{}", watch.out());
    assert_eq!(watch.out().lines().last(), Some("5"));
}

#[test]
fn once_exits_with_the_status_of_the_command() {
    let (_place, store) = directory();
    good(&store, &["put", "/k", "v"]);
    for (command, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let output = run(&store, &["watch", "/k", "--once", "--no-settle", "--", "sh", "-c", command]);
        assert_eq!(output.status.code(), Some(code), "{command}");
    }
    let output = run(&store, &["watch", "/k", "--once", "--no-settle", "--", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/program"));
    let args = ["watch", "/k", "--once", "--no-settle", "--timeout", "100ms", "--", "sleep", "600"];
    assert_eq!(run(&store, &args).status.code(), Some(143), "TERM ended it");

    // A key that does not exist yet is waited for.
    let mut watch = Program::start(&store, &["watch", "/later", "--once", "--no-settle", "--", "cat"]);
    good(&store, &["put", "/later", "here"]);
    assert_eq!(watch.code(), Some(0));
    assert_eq!(watch.out(), "here");
}

#[test]
fn once_starts_one_run_in_every_mode() {
    let (_place, store) = directory();
    good(&store, &["put", "/k", "first"]);
    for mode in ["queue", "discard", "parallel", "restart"] {
        let command = "cat; echo; until [ -e go ]; do sleep 0.05; done";
        let args = ["watch", "/k", "--once", "--no-settle", "--run-mode", mode, "--", "sh", "-c", command];
        let mut watch = Program::start(&store, &args);
        watch.says("\n");
        good(&store, &["put", "/k", &format!("after {mode}")]);
        std::fs::write(watch.place.path().join("go"), "").unwrap();
        assert_eq!(watch.code(), Some(0), "{mode}: {}", watch.err());
        assert_eq!(watch.out().lines().count(), 1, "{mode}: {}", watch.out());
    }
}

#[test]
fn a_signal_ends_the_command_with_its_group() {
    let (_place, store) = directory();
    good(&store, &["put", "/k", "v"]);
    // Both ignore TERM.
    let command = "trap '' TERM; sh -c 'echo $$; while :; do sleep 1; done' & echo $$; echo up; wait; wait";
    let mut watch = Program::start(&store, &["watch", "/k", "--no-settle", "--", "sh", "-c", command]);
    watch.says("up\n");
    until("two processes", || (watch.out().lines().count() == 3).then_some(()));
    let pids: Vec<i32> = watch.out().lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(pids.len(), 2);
    watch.signal(Signal::SIGINT);
    assert_eq!(watch.code(), Some(130));
    for pid in pids {
        until("the process to be gone", || {
            (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
        });
    }
}

#[test]
fn sigquit_ends_the_command_like_an_interrupt() {
    let (_place, store) = directory();
    good(&store, &["put", "/k", "v"]);
    let command = "echo $$; exec sleep 600";
    let mut watch = Program::start(&store, &["watch", "/k", "--no-settle", "--", "sh", "-c", command]);
    watch.says("\n");
    let process = format!("/proc/{}", watch.out().trim());
    watch.signal(Signal::SIGQUIT);
    assert_eq!(watch.code(), Some(131));
    assert!(!std::path::Path::new(&process).exists());
}

/// The grace after TERM is 5 s. A loaded machine may take as long for anything, but not each time.
#[test]
fn a_second_interrupt_kills_at_once() {
    let (_place, store) = directory();
    good(&store, &["put", "/k", "v"]);
    let took = || {
        let command = "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done";
        let mut watch = Program::start(&store, &["watch", "/k", "--no-settle", "--", "sh", "-c", command]);
        watch.says("up\n");
        watch.signal(Signal::SIGINT);
        watch.says("asked\n");
        let began = std::time::Instant::now();
        watch.signal(Signal::SIGINT);
        assert_eq!(watch.code(), Some(130));
        began.elapsed()
    };
    assert!((0..10).any(|_| took() < std::time::Duration::from_secs(4)));
}

#[test]
fn a_failure_is_shown_and_the_watch_goes_on() {
    let (_place, store) = directory();
    good(&store, &["put", "/k", "bad"]);
    let command = "[ $(cat) = good ] && echo fine || { echo oops >&2; exit 9; }";
    let mut watch = Program::start(&store, &["watch", "/k", "--no-settle", "--", "sh", "-c", command]);
    watch.complains("oops\n");
    watch.complains("/k: failed with exit code 9");
    good(&store, &["put", "/k", "good"]);
    watch.says("fine\n");
    assert!(watch.lives());
}

#[test]
fn a_run_inherits_the_environment_of_its_caller() {
    let (_place, store) = directory();
    good(&store, &["put", "/k", "v"]);
    let command = r#"echo "$MINE $TWITCHER_STORE"; pwd; umask; id -u; [ ! -t 0 ] && cat"#;
    let args = ["watch", "/k", "--no-settle", "--once", "--", "sh", "-c", command];
    let mut watch = Program::start_with(&store, &args, &[("MINE", "yes")]);
    assert_eq!(watch.code(), Some(0));
    let place = watch.place.path().canonicalize().unwrap();
    let uid = nix::unistd::getuid();
    let out = watch.out();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], [format!("yes {store}"), place.display().to_string()]);
    assert_eq!(lines[3..], [uid.to_string(), "v".to_owned()]);
}

#[test]
fn several_keys_are_watched_at_once() {
    let (_place, store) = directory();
    good(&store, &["put", "/a", "1"]);
    good(&store, &["put", "/b", "2"]);
    let shown = r#"echo "[$TWITCHER_KEY $(cat)]"; [ $TWITCHER_KEY = /a ] || exit 4"#;
    let args = ["watch", "/a", "/b", "--no-settle", "--once", "--", "sh", "-c", shown];
    let mut watch = Program::start(&store, &args);
    assert_eq!(watch.code(), Some(4));
    assert!(watch.out().contains("[/a 1]") && watch.out().contains("[/b 2]"), "{}", watch.out());
    assert_eq!(run(&store, &["watch", "/a", "/a", "--", "true"]).status.code(), Some(2));
}

#[test]
fn a_restarted_store_is_waited_for() {
    let mut etcd = Etcd::start();
    let store = &etcd.url();
    good(store, &["put", "/k", "one"]);
    let mut watch = Program::start(store, &["watch", "/k", "--no-settle", "--", "sh", "-c", "cat; echo"]);
    watch.says("one\n");
    etcd.kill();
    watch.complains("cannot be reached");
    etcd.start_again();
    good(store, &["put", "/k", "two"]);
    watch.says("two\n");
    watch.complains("connected again");
    assert_eq!(watch.out(), "one\ntwo\n", "nothing is run twice");
}
