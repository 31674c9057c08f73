//! A daemon at work on the `dir` store: what starts an action, with what input, and how often.

use serde_json::json;

use crate::fixture::daemon::Daemon;

/// An action that appends a line to a file beside the configuration.
fn note(daemon: &Daemon, file: &str, line: &str) -> String {
    format!("echo \"{line}\" >> {}", daemon.path(file).display())
}

#[test]
fn a_change_runs_the_action_once_with_the_value() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/git/head", "one\n");
    let action =
        note(&daemon, "out", "$TWITCHER_REASON $TWITCHER_KEY $TWITCHER_ATTEMPT $TWITCHER_COALESCED $(cat)");
    daemon.write("git.toml", &format!("[[watch]]\nkey = '/git/head'\naction = '{action}'\n"));
    daemon.run();
    daemon.until_file("out", |text| text == "load /git/head 1 1 one\n");
    daemon.until_converged("git");
    daemon.put("/git/head", "two");
    daemon.until_file("out", |text| text.ends_with("change /git/head 1 1 two\n"));
    let watch = daemon.until_runs("git", 2);
    assert_eq!(watch["converged"], true);
    assert_eq!(watch["version"], watch["applied"]);
    assert_eq!(watch["runs"], 2);
    assert_eq!(watch["last"]["outcome"], "succeeded");
    assert_eq!(watch["last"]["exit_code"], 0);
    assert_eq!(daemon.read("out").lines().count(), 2);
}

#[test]
fn a_value_is_data_byte_for_byte() {
    let mut daemon = Daemon::prepare("");
    let value: Vec<u8> = (0..=255).cycle().take(1_500_000).chain(*b"$(touch /tmp/x); `id` \"'\n\n").collect();
    let out = daemon.path("out");
    let text = format!(
        "[[watch]]\nkey = '/a'\naction = ['/bin/sh', '-c', 'cat > {0}.new; mv {0}.new {0}']\n",
        out.display()
    );
    daemon.put("/a", &value);
    daemon.write("a.toml", &text);
    daemon.run();
    daemon.until_converged("a");
    assert_eq!(std::fs::read(&out).unwrap(), value);
    daemon.put("/a", "");
    daemon.until_runs("a", 2);
    assert_eq!(std::fs::read(&out).unwrap(), b"");
}

#[test]
fn children_and_tree_are_written_in_their_formats() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/web/b", "2");
    daemon.put("/web/a", "1");
    let out = daemon.path("out").display().to_string();
    daemon.write(
        "w.toml",
        &format!(
            "[[watch]]\nname='kids'\nkey='/web'\nwatch_type='children'\naction='cat > {out}.kids'\n\
             [[watch]]\nname='tree'\nkey='/web'\nwatch_type='tree'\naction='cat > {out}.tree'\n\
             [[watch]]\nname='toml'\nkey='/web'\nwatch_type='tree'\nformat='toml'\naction='cat > {out}.toml'\n"
        ),
    );
    daemon.run();
    for name in ["kids", "tree", "toml"] {
        daemon.until_converged(name);
    }
    assert_eq!(daemon.read("out.kids"), "a\nb\n");
    let tree: serde_json::Value = serde_json::from_str(&daemon.read("out.tree")).unwrap();
    assert_eq!(tree, json!({"a": "1", "b": "2"}));
    let toml: toml::Table = daemon.read("out.toml").parse().unwrap();
    assert_eq!(toml["a"].as_str(), Some("1"));
    daemon.put("/web/c/d", "3");
    daemon.until_file("out.kids", |text| text == "a\nb\nc\n");
    daemon.until_file("out.tree", |text| text.contains("\"d\""));
}

#[test]
fn nothing_runs_for_a_missing_key_until_it_is_created() {
    let daemon = Daemon::start("", &[("a.toml", "[[watch]]\nkey = '/later/a'\naction = 'true'\n")]);
    let watch = daemon.until_watch("a", |watch| watch["verified_seconds"].is_number());
    assert_eq!(watch["runs"], 0);
    daemon.put("/later/a", "x");
    let watch = daemon.until_runs("a", 1);
    assert_eq!(watch["last"]["reason"], "change");
}

#[test]
fn a_deletion_runs_the_action_only_with_on_delete_run() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "x");
    let action = note(&daemon, "out", "$TWITCHER_WATCH $TWITCHER_REASON [$(cat)]");
    daemon.write(
        "a.toml",
        &format!(
            "[[watch]]\nname='ignores'\nkey='/a'\naction='{action}'\n\
             [[watch]]\nname='runs'\nkey='/a'\non_delete='run'\naction='{action}'\n"
        ),
    );
    daemon.run();
    daemon.until_runs("ignores", 1);
    daemon.until_runs("runs", 1);
    daemon.delete("/a");
    daemon.until_file("out", |text| text.ends_with("runs delete []\n"));
    daemon.put("/a", "y");
    daemon.until_file("out", |text| {
        text.contains("ignores change [y]\n") && text.contains("runs change [y]\n")
    });
    daemon.until_runs("runs", 3);
    assert_eq!(daemon.watch("ignores")["runs"], 2);
}

#[test]
fn a_failed_action_is_retried_until_it_succeeds() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "x");
    let gate = daemon.path("gate").display().to_string();
    let action = format!("{}; test -e {gate}", note(&daemon, "out", "$TWITCHER_REASON $TWITCHER_ATTEMPT"));
    daemon.write(
        "a.toml",
        &format!("[[watch]]\nkey='/a'\naction='{action}'\nretries='unlimited'\nretry_delay='50ms'\n"),
    );
    daemon.run();
    daemon.until_file("out", |text| text.lines().count() >= 3);
    let watch = daemon.watch("a");
    assert_eq!(watch["converged"], false, "{watch}");
    std::fs::write(&gate, "").unwrap();
    let watch = daemon.until_converged("a");
    assert_eq!(watch["last"]["reason"], "retry");
    assert!(daemon.read("out").starts_with("load 1\nretry 2\nretry 3\n"));
}

#[test]
fn queue_never_overlaps_runs_and_ends_on_the_newest_state() {
    let mut daemon = Daemon::prepare("");
    let out = daemon.path("out").display().to_string();
    let action = format!(
        "mkdir {out}.lock || echo TWO >> {out}; sleep 0.02; cat >> {out}; echo >> {out}; rmdir {out}.lock"
    );
    daemon.put("/a", "0");
    daemon.write("a.toml", &format!("[[watch]]\nkey='/a'\naction='{action}'\n"));
    daemon.run();
    for value in 1..=200 {
        daemon.put("/a", value.to_string());
    }
    let text = daemon.until_file("out", |text| text.ends_with("200\n"));
    assert!(!text.contains("TWO"), "{text}");
    let seen: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert!(seen.is_sorted(), "never backwards: {seen:?}");
    daemon.until_converged("a");
}

#[test]
fn restart_ends_the_old_run_and_its_group() {
    let mut daemon = Daemon::prepare("");
    let out = daemon.path("out").display().to_string();
    daemon.put("/a", "1");
    // The grandchild ignores TERM; only the KILL of the whole group can end it.
    let action = format!(
        "value=$(cat); (trap \"\" TERM; while :; do sleep 1; done) & echo $! > {out}.pid$value; test $value = 2 || wait"
    );
    daemon.write(
        "a.toml",
        &format!("[[watch]]\nkey='/a'\nrun_mode='restart'\nkill_after='200ms'\naction='{action}'\n"),
    );
    daemon.run();
    let pid = daemon.until_file("out.pid1", |text| text.ends_with('\n'));
    daemon.converges_on("a", "/a", "2");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "the grandchild lives: {stat}");
    // An end that `restart` caused is not a failure, and is reported as what it was.
    assert!(daemon.say(&["history", "a"]).contains("killed"), "{}", daemon.say(&["history", "a"]));
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
    assert!(daemon.log().contains("; twitcher ended it"), "{}", daemon.log());
    // Processes that the second run left running when it ended by itself are left alone.
    let left = daemon.read("out.pid2");
    assert!(std::fs::exists(format!("/proc/{}", left.trim())).unwrap());
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(left.trim().parse().unwrap()),
        nix::sys::signal::SIGKILL,
    )
    .unwrap();
}

#[test]
fn a_timeout_ends_the_run_and_is_reported() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    daemon.write(
        "a.toml",
        "[[watch]]\nkey='/a'\naction='trap \"\" TERM; while :; do sleep 1; done'\ntimeout='200ms'\nkill_after='200ms'\nretries=0\n",
    );
    daemon.run();
    let watch = daemon.until_runs("a", 1);
    assert_eq!(watch["last"]["outcome"], "timed_out");
    assert_eq!(watch["last"]["signal"], 9);
    assert_eq!(watch["converged"], false);
}

#[test]
fn on_failure_stop_stops_until_it_is_resumed() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    let gate = daemon.path("gate").display().to_string();
    daemon.write(
        "a.toml",
        &format!(
            "[[watch]]\nkey='/a'\naction='test -e {gate}'\nretries=1\nretry_delay='10ms'\non_failure='stop'\n"
        ),
    );
    daemon.run();
    let watch = daemon.until_watch("a", |watch| watch["state"] == "stopped");
    assert_eq!(watch["runs"], 2);
    daemon.put("/a", "2");
    daemon.kill();
    std::fs::write(&gate, "").unwrap();
    daemon.run();
    daemon.until_watch("a", |watch| watch["version"].is_string());
    assert_eq!(daemon.watch("a")["state"], "stopped", "stopped also across a restart");
    daemon.say(&["resume", "a"]);
    daemon.until_converged("a");
}

#[test]
fn a_watch_never_affects_another() {
    let mut daemon = Daemon::prepare("max_processes = 64");
    daemon.put("/a", "1");
    daemon.write(
        "bad.toml",
        "[[watch]]\nname='hangs'\nkey='/a'\naction='sleep 1000'\n\
         [[watch]]\nname='fails'\nkey='/a'\naction='exit 3'\nretries='unlimited'\nretry_delay='1ms'\nretry_delay_max='1ms'\n\
         [[watch]]\nname='chats'\nkey='/a'\naction='yes'\n\
         [[watch]]\nname='not-there'\nkey='/a'\naction=['/no/such/program']\n\
         [[watch]]\nname='down'\nkey='/a'\nstore='down'\naction='true'\n",
    );
    std::fs::write(
        daemon.path("config/twitcher.conf"),
        format!(
            "{}\n[store.down]\nurl = 'etcd://127.0.0.1:1'\n",
            std::fs::read_to_string(daemon.path("config/twitcher.conf")).unwrap()
        ),
    )
    .unwrap();
    daemon.write("broken.toml", "[[watch]\nkey=");
    let action = note(&daemon, "out", "$(cat)");
    daemon.write("good.toml", &format!("[[watch]]\nkey='/good'\naction='{action}'\n"));
    daemon.run();
    for value in 1..=20 {
        daemon.put("/good", value.to_string());
        daemon.until_file("out", |text| text.ends_with(&format!("{value}\n")));
    }
    let status = daemon.status();
    assert_eq!(daemon.watch("not-there")["last"]["outcome"], "not_started");
    assert_eq!(daemon.watch("down")["state"], "unreachable");
    let broken = status["files"].as_array().unwrap().iter().find(|file| file["state"] == "broken").unwrap();
    assert!(broken["problems"][0].as_str().unwrap().contains("broken.toml:1:"), "{broken}");
}
