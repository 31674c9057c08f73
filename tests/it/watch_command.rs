//! `twitcher watch` as it is typed, against each kind of store.

use nix::sys::signal::Signal;

use crate::fixture::daemon::until;
use crate::fixture::etcd::Etcd;
use crate::fixture::program::{Program, good, program, run};
use crate::fixture::terminal::Terminal;
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
    assert_eq!(data.err(), format!("twitcher: watching /k/a in {store}\n"));
    assert_eq!(tree.err(), format!("twitcher: watching /k and below in {store}\n"));
    assert_eq!(children.err(), format!("twitcher: watching the names below /k in {store}\n"));
    for (watch, signal, code) in [
        (&mut data, Signal::SIGTERM, 143),
        (&mut tree, Signal::SIGINT, 130),
        (&mut children, Signal::SIGHUP, 129),
    ] {
        watch.signal(signal);
        assert_eq!(watch.code(), Some(code));
    }
}

fn version(store: &str, key: &str) -> String {
    let shown: serde_json::Value = serde_json::from_str(&good(store, &["get", key, "--json"])).unwrap();
    shown["version"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_seen_before_is_not_run() {
    let etcd = Etcd::start();
    let store = &etcd.url();
    good(store, &["put", "/k", "three"]);
    let version = version(store, "/k");
    let args = |option| ["watch", "/k", "--no-settle", option, &version, "--", "sh", "-c", "cat; echo"];
    let mut after = Program::start(store, &args("--after"));
    let mut from = Program::start(store, &args("--from"));
    from.says("three\n");
    after.complains("watching /k");
    good(store, &["put", "/k", "four"]);
    after.says("four\n");
    from.says("four\n");
    assert_eq!((after.out().as_str(), from.out().as_str()), ("four\n", "three\nfour\n"));
    let mut unseen = Program::start(store, &args("--after"));
    unseen.says("four\n");
    // With a settle time it is what is there now, if that is not older.
    for (option, ran) in [("--from", "three"), ("--after", "")] {
        good(store, &["put", "/s", "three"]);
        let version = self::version(store, "/s");
        let args = ["watch", "/s", "--settle", "50ms", option, &version, "--", "cat"];
        let mut settled = Program::start(store, &args);
        settled.complains("watching /s");
        settled.says(ran);
        good(store, &["put", "/s", "four"]);
        settled.says(&format!("{ran}four"));
    }
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
    let version = version(store, "/t/b");
    good(store, &["del", "/t/a"]);
    let args = ["watch", "/t", "--tree", "--no-settle", "--once", "--after", &version, "--", "cat"];
    let mut watch = Program::start(store, &args);
    assert_eq!(watch.code(), Some(0));
    assert_eq!(watch.out().replace(['\n', ' '], ""), r#"{"b":"2"}"#);
}

/// `--no-settle` runs every update: those since a revision, and then what comes, each once and in order.
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
    let args = |after: &'static str, key: &'static str| {
        ["watch", key, "--no-settle", "--after", after, "--", "sh", "-c", line]
    };
    // Revision 1 is the empty store; 4 is the second write.
    let mut data = Program::start(store, &args("4", "/h/k"));
    data.says("5 change 10\n");
    good(store, &["put", "/h/k", "6"]);
    good(store, &["put", "/h/k", "7"]);
    data.says("7 change 15\n");
    let expected = "3 change 6\n4 change 8\n5 change 10\n6 change 14\n7 change 15\n";
    assert_eq!(data.out(), expected);
    assert_eq!(data.err(), format!("twitcher: watching /h/k in {store}\n"));
    let mut included = ["watch", "/h/k", "--no-settle", "--from", "4", "--", "sh", "-c", line];
    let mut from = Program::start(store, &included);
    from.says("7 change 15\n");
    assert_eq!(from.out(), format!("2 change 4\n{expected}"));
    included[4] = "-2";
    let mut newest = Program::start(store, &included);
    newest.says("7 change 15\n");
    assert_eq!(newest.out(), "6 change 14\n7 change 15\n");
    let watch = ["watch", "/h", "--children", "--no-settle", "--from", "10", "--", "sh", "-c", "cat; echo ."];
    let mut children = Program::start(store, &watch);
    children.says("k\n.\n");
    assert_eq!(children.out(), "k\nother\n.\nk\n.\n");
    let watch = ["watch", "/h", "--tree", "--no-settle", "--from", "12", "--", "sh", "-c", "cat"];
    let mut tree = Program::start(store, &watch);
    tree.says("\"7\"");
    let lines = ["{\"k\":\"5\",\"other\":\"o\"}", "{\"k\":\"5\"}", "{\"k\":\"6\"}", "{\"k\":\"7\"}"];
    assert_eq!(tree.out().lines().collect::<Vec<_>>(), lines);
    // Before the key was there.
    let mut whole = Program::start(store, &args("1", "/h/k"));
    whole.says("7 change 15\n");
    assert!(whole.out().starts_with("1 change 2\n2 change 4\n"), "{}", whole.out());
    // With a settle time it is one run with what is there now, and none where nothing is newer.
    let args = ["watch", "/h/k", "--settle", "50ms", "--from", "5", "--once", "--", "cat"];
    let mut settled = Program::start(store, &args);
    assert_eq!((settled.code(), settled.out().as_str()), (Some(0), "7"));
}

/// Revision 0 is what a read means by "now".
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
    assert_eq!(
        (all.out().as_str(), all.err().as_str()),
        ("1 2\n2 3\n3 4\n4 5\n", format!("twitcher: watching /h/k in {store}\n").as_str())
    );
    etcd.ctl(&["compact", "4"]);
    // The oldest revision that etcd knows is no forgotten one.
    let mut oldest = ["watch", "/h/k", "--no-settle", "--from", "4", "--", "sh", "-c", line];
    for since in ["--from", "--after"] {
        (oldest[3], oldest[4]) = (since, if since == "--from" { "4" } else { "3" });
        let mut known = Program::start(store, &oldest);
        known.says("4 5\n");
        assert_eq!(known.out(), "3 4\n4 5\n", "{since}: {}", known.err());
    }
    let mut forgotten = Program::start(store, &args);
    forgotten.complains("etcd does not know the changes of /h/k since revision 2 ");
    forgotten.says("4 5\n");
    assert_eq!(forgotten.out(), "4 5\n");
    let args = ["watch", "/h/k", "--settle", "50ms", "--from", "0", "--once", "--", "sh", "-c", line];
    let mut settled = Program::start(store, &args);
    assert_eq!((settled.code(), settled.out().as_str()), (Some(0), "4 5\n"));
}

#[test]
fn what_etcd_forgot_is_said_and_the_newest_state_is_run() {
    let mut etcd = Etcd::start();
    let store = &etcd.url();
    for number in 1..=5 {
        good(store, &["put", "/h/k", &number.to_string()]);
    }
    etcd.ctl(&["compact", "5"]);
    let args = ["watch", "/h/k", "--no-settle", "--from", "3", "--", "sh", "-c", "cat; echo"];
    let mut watch = Program::start(store, &args);
    watch.says("5\n");
    watch.complains("etcd does not know the changes of /h/k since revision 3 ");
    good(store, &["put", "/h/k", "6"]);
    watch.says("6\n");
    // A new connection goes on where the last one ended.
    etcd.kill();
    watch.complains("cannot be reached");
    etcd.start_again();
    good(store, &["put", "/h/k", "7"]);
    watch.says("7\n");
    assert_eq!(watch.out(), "5\n6\n7\n");
    assert_eq!(watch.err().matches("does not know").count(), 1);
    // Nothing is newer than what is to come.
    let args = ["watch", "/h/k", "--no-settle", "--from", "1000", "--", "sh", "-c", "cat; echo"];
    let mut watch = Program::start(store, &args);
    watch.complains("etcd does not know the changes of /h/k since revision 1000 ");
    good(store, &["put", "/h/k", "8"]);
    watch.says("8\n");
    assert_eq!(watch.out(), "8\n");
}

/// The newest changes of several keys are counted together; what etcd has forgotten is told.
#[test]
fn the_newest_changes_are_run() {
    let etcd = Etcd::start();
    let store = &etcd.url();
    for number in 1..=3 {
        good(store, &["put", "/n/a", &format!("a{number}")]);
        good(store, &["put", "/n/b", &format!("b{number}")]);
    }
    good(store, &["put", "/n/a/below", "not the key"]);
    let line = "echo \"$(cat) $TWITCHER_VERSION\"";
    let mut newest = Program::start(
        store,
        &["watch", "/n/a", "/n/b", "--no-settle", "--from", "-3", "--", "sh", "-c", line],
    );
    newest.says("a3 6\n");
    newest.says("b3 7\n");
    newest.says("b2 5\n");
    assert_eq!(newest.out().lines().count(), 3, "{}", newest.out());
    // More than there are.
    let args = ["watch", "/n/a", "--no-settle", "--from", "-100", "--", "sh", "-c", line];
    let mut all = Program::start(store, &args);
    all.says("a3 6\n");
    assert_eq!(all.out(), "a1 2\na2 4\na3 6\n");
    let settled = ["watch", "/n/a", "--settle", "50ms", "--from", "-2", "--once", "--", "cat"];
    assert_eq!(good(store, &settled), "a3");
    etcd.ctl(&["compact", "5"]);
    let mut known = Program::start(store, &args);
    known.complains("etcd was compacted: only 1 changes are known, those since revision 5");
    known.says("a3 6\n");
    // Of a key that never was, nothing is old.
    let mut none = Program::start(store, &["watch", "/none", "--no-settle", "--from", "-1", "--", "cat"]);
    none.complains("watching /none");
    good(store, &["put", "/none", "new"]);
    none.says("new");
}

#[test]
fn a_store_without_history_has_no_past_to_begin_with() {
    let (_place, store) = directory();
    for store in [store.as_str(), "zookeeper://127.0.0.1:1"] {
        for (option, value) in [("--from", "7"), ("--after", "7"), ("--from", "-3")] {
            let output = run(store, &["watch", "/k", option, value, "--", "true"]);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{store}: {errors}");
            assert!(
                errors.contains(option) && errors.contains("keeps no history; only etcd does"),
                "{errors}"
            );
        }
    }
}

#[test]
fn a_program_that_is_not_there_at_the_start_is_127() {
    let (_place, store) = directory();
    let missing = |command: &[&str]| {
        let output = run(&store, &[&["watch", "/k", "--"], command].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, errors) = missing(&["no-such-program", "x"]);
    assert_eq!(code, Some(127), "{errors}");
    assert!(errors.contains("there is no program `no-such-program` in PATH"), "{errors}");
    assert_eq!(missing(&["/no/such/program"]).0, Some(127));
    assert_eq!(missing(&["/etc/passwd"]).0, Some(126), "it is there, and not executable");

    // Later it is a failed run.
    good(&store, &["put", "/k", "1"]);
    let tool = tempfile::tempdir().unwrap();
    let program = tool.path().join("tool");
    std::fs::copy("/bin/cat", &program).unwrap();
    let mut watch = Program::start(&store, &["watch", "/k", "--no-settle", "--", program.to_str().unwrap()]);
    watch.says("1");
    std::fs::remove_file(&program).unwrap();
    good(&store, &["put", "/k", "2"]);
    watch.complains("no such file");
    assert!(watch.lives());
}

#[test]
fn a_key_that_does_not_exist_yet_is_told() {
    let (_place, store) = directory();
    let watch = Program::start(&store, &["watch", "/nginx", "--tree", "--", "cat"]);
    watch.complains(&format!("twitcher: watching /nginx and below in {store}; it does not exist yet\n"));
}

#[test]
fn a_failed_command_is_retried_where_that_is_wanted() {
    let (_place, store) = directory();
    good(&store, &["put", "/k", "v"]);
    let line = "echo \"$TWITCHER_ATTEMPT $TWITCHER_REASON\"; [ $TWITCHER_ATTEMPT = 3 ]";
    let retried = |retries: &'static str, line: &'static str| {
        let options = ["--once", "--no-settle", "--retries", retries, "--retry-delay", "10ms"];
        let output = run(&store, &[&["watch", "/k"], &options[..], &["--", "sh", "-c", line]].concat());
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, out, _) = retried("5", line);
    assert_eq!((code, out.as_str()), (Some(0), "1 load\n2 retry\n3 retry\n"));
    let (code, out, errors) = retried("1", line);
    assert_eq!((code, out.as_str()), (Some(1), "1 load\n2 retry\n"));
    assert!(errors.contains("gave up after 2 tries") && !errors.contains("twitcher trigger"), "{errors}");
    let (code, _, errors) = retried("0", "exit 3");
    assert_eq!(code, Some(3));
    assert!(!errors.contains("gave up"), "{errors}");
}

/// A command with `--tty` asks on the terminal that twitcher was started from, and Ctrl-C reaches it alone.
#[test]
fn a_command_can_ask_on_the_terminal() {
    let (_place, store) = directory();
    good(&store, &["put", "/k", "one"]);
    let ask = r#"printf "%s? " "$TWITCHER_KEY"; read -r answer; echo "said $answer ($(twitcher get /k))""#;
    let command = format!(
        "trap : INT; {} watch /k --no-settle --tty -- sh -c '{ask}'; echo ended $?; read -r rest",
        program().display()
    );
    let path = format!("{}:/usr/bin:/bin", program().parent().unwrap().display());
    let terminal = Terminal::start((80, 20), &command, &[("TWITCHER_STORE", &store), ("PATH", &path)]);
    terminal.shows("/k?");
    terminal.types("yes");
    terminal.press("Enter");
    terminal.shows("said yes (one)");
    good(&store, &["put", "/k", "two"]);
    terminal.until("a second question", |screen| screen.matches("/k?").count() == 2);
    terminal.press("C-c");
    terminal.shows("killed by SIGINT");
    good(&store, &["put", "/k", "three"]);
    terminal.until("a third question", |screen| screen.matches("/k?").count() == 3);
    terminal.types("no");
    terminal.press("Enter");
    terminal.shows("said no (three)");
    // Nothing runs: twitcher has its terminal again.
    terminal.press("C-c");
    terminal.shows("ended 130");

    let output = run(&store, &["watch", "/k", "--tty", "--", "cat"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    if std::fs::File::open("/dev/tty").is_err() {
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("--tty: there is no terminal"), "{errors}");
    }
}

#[test]
fn what_is_no_version_or_time_is_wrong_usage() {
    for (option, value, why) in [
        ("--from", "x", "a version of etcd is a number such as 1042"),
        ("--after", "-3", "a version of etcd is a number such as 1042"),
        ("--from", "99999999999999999999", "a version of etcd is a number such as 1042"),
        ("--retries", "-1", "write a number such as 3"),
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
fn arguments_of_the_command_are_bytes() {
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
fn a_deletion_is_run_where_that_is_wanted() {
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

/// An end that was asked for is no failure.
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
        // Not what the shell says of its own end.
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
fn once_ends_as_the_command_does() {
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
    // Neither listens to TERM.
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
fn a_quit_ends_the_command_as_an_interrupt_does() {
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

/// The grace after TERM is 5 s. A loaded machine may need as long for anything, but not each time.
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
fn a_run_has_the_surroundings_of_its_caller() {
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
fn several_keys_are_several_watches() {
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
fn a_store_that_goes_and_comes_is_waited_for() {
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
