//! One set of files for many machines: variables in keys, defaults, hosts, disabled watches.

use std::process::Output;

use crate::fixture::daemon::Daemon;

const CONF: &str = "host = 'web-17'\n[vars]\nrole = 'web'\nunused = 'x y'\n[defaults]\nretries = 0";

/// A watch whose action writes its machine and key.
fn watch(daemon: &Daemon, lines: &str) -> String {
    let out = daemon.path("out").display().to_string();
    format!(
        "[[watch]]\n{lines}\naction='echo $TWITCHER_WATCH $TWITCHER_KEY $TWITCHER_HOST $TWITCHER_VAR_ROLE $PLACE >> {out}'\n"
    )
}

#[test]
fn variables_expand_to_the_values_of_the_machine() {
    let mut daemon = Daemon::prepare(CONF);
    daemon.put("/web/web-17", "1");
    daemon.write("a.toml", &watch(&daemon, "name='a'\nkey='/${role}/${host}'\nenv={PLACE='${unused}'}"));
    daemon.run();
    daemon.until_file("out", |text| text == "a /web/web-17 web-17 web x y\n");
    daemon.until_converged("a");
    assert_eq!(daemon.watch("a")["key"], "/web/web-17");
    // local.conf wins at the next reload.
    daemon.put("/db/web-17", "1");
    std::fs::write(daemon.path("config/local.conf"), "[vars]\nrole = 'db'\n").unwrap();
    daemon.say(&["reload"]);
    daemon.until_file("out", |text| text.ends_with("a /db/web-17 web-17 db x y\n"));
}

#[test]
fn a_changed_variable_reaches_the_environment_of_the_next_run() {
    let mut daemon = Daemon::prepare(CONF);
    daemon.put("/a", "1");
    daemon.write("a.toml", &watch(&daemon, "name='a'\nkey='/a'"));
    daemon.run();
    daemon.until_runs("a", 1);
    std::fs::write(daemon.path("config/local.conf"), "[vars]\nrole = 'db'\n").unwrap();
    let told = daemon.say(&["reload", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["changed"], &told["unchanged"]), (&serde_json::json!([]), &serde_json::json!(1)));
    daemon.put("/a", "2");
    daemon.until_runs("a", 2);
    assert_eq!(daemon.read("out"), "a /a web-17 web\na /a web-17 db\n");
}

#[test]
fn a_watch_for_other_hosts_is_not_loaded() {
    let mut daemon = Daemon::prepare(CONF);
    daemon.put("/a", "1");
    let here = watch(&daemon, "name='here'\nkey='/a'\nhosts=['web-*']");
    let same_name = watch(&daemon, "name='here'\nkey='/b'\nhosts=['!web-*']");
    daemon.write("a.toml", &format!("{here}{same_name}"));
    daemon.write("there.toml", &watch(&daemon, "name='there'\nkey='/a'\nhosts=['db-*']"));
    daemon.run();
    daemon.until_converged("here");
    assert!(daemon.watch("there").is_null());
    assert_eq!(daemon.read("out"), "here /a web-17 web\n");
    let checked = daemon.say(&["check"]);
    assert!(checked.ends_with("1 file is not for this host, web-17\n"), "{checked}");
    assert!(!checked.contains("there.toml"), "{checked}");
    assert!(daemon.say(&["check", "-v"]).contains("there.toml: not for this host\n"));
    // The host is renamed: now another watch applies.
    std::fs::write(daemon.path("config/local.conf"), "host = 'db-1'\n").unwrap();
    daemon.say(&["reload"]);
    daemon.until_converged("there");
}

#[test]
fn check_for_another_host_ignores_this_machine() {
    let daemon = Daemon::prepare(CONF);
    let lines = "key='/${rack}'\nuid='only-there'\nhosts=['db-*']";
    daemon.write("there.toml", &watch(&daemon, lines));
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let good = daemon.ask(&["check", "--host", "db-1", "--var", "rack=r1"]);
    assert!(good.status.success() && text(&good).contains("there.toml: ok\n"), "{}", text(&good));
    let unknown = daemon.ask(&["check", "--host", "db-1"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text(&unknown).contains("there.toml:2:7: error: there is no `rack` in [vars]"),
        "{}",
        text(&unknown)
    );
    let wrong = daemon.ask(&["check", "--host", "db-1", "--var", "Rack=r1"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_disabled_watch_is_shown_and_does_nothing() {
    let mut daemon = Daemon::prepare(CONF);
    daemon.put("/a", "1");
    let (enabled, disabled) =
        (watch(&daemon, "name='a'\nkey='/a'"), watch(&daemon, "name='a'\nkey='/a'\nenabled=false"));
    daemon.write("a.toml", &disabled);
    daemon.run();
    let shown = daemon.watch("a");
    assert_eq!((&shown["state"], &shown["converged"]), (&"disabled".into(), &false.into()), "{shown}");
    assert_eq!(daemon.say(&["status", "a", "--json"]).matches("disabled").count(), 1);
    assert!(daemon.say(&["explain", "a"]).contains("a is disabled"));
    daemon.say(&["history", "a"]);
    for command in ["trigger", "pause", "resume"] {
        let refused = daemon.ask(&[command, "a"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("`enabled = false`"), "{command}");
    }
    daemon.write("a.toml", &enabled);
    daemon.until_runs("a", 1);
    daemon.write("a.toml", &disabled);
    daemon.until_watch("a", |watch| watch["state"] == "disabled" && watch["runs"] == 1);
    daemon.put("/a", "2");
    daemon.write("a.toml", &enabled);
    daemon.until_runs("a", 2);
    assert_eq!(daemon.read("out").lines().count(), 2);
}

#[test]
fn a_changed_default_reloads_only_the_affected_watches() {
    let mut daemon = Daemon::prepare(CONF);
    let out = daemon.path("out").display().to_string();
    for name in ["own", "inherits"] {
        daemon.put(&format!("/{name}"), "1");
        let timeout = if name == "own" { "timeout='1h'\n" } else { "" };
        let text = format!("[[watch]]\nkey='/{name}'\n{timeout}action='echo $TWITCHER_WATCH >> {out}'\n");
        daemon.write(&format!("{name}.toml"), &text);
    }
    daemon.run();
    daemon.until_runs("own", 1);
    daemon.until_runs("inherits", 1);
    let conf = std::fs::read_to_string(daemon.path("config/twitcher.conf")).unwrap();
    let reload = |conf: &str| -> serde_json::Value {
        std::fs::write(daemon.path("config/twitcher.conf"), conf).unwrap();
        serde_json::from_str(&daemon.say(&["reload", "--json"])).unwrap()
    };
    let changed = conf.replace("[defaults]", "[defaults]\ntimeout = '2h'\nmax_parallel = 3");
    let told = reload(&changed);
    assert_eq!(told["changed"], serde_json::json!(["inherits"]), "{told}");
    daemon.until_runs("inherits", 2);
    assert_eq!(daemon.watch("own")["runs"], 1, "it kept its history and was not run again");
    // An invalid default is reported with its position, and changes nothing.
    std::fs::write(daemon.path("config/twitcher.conf"), conf.replace("retries = 0", "retires = 0")).unwrap();
    let refused = daemon.ask(&["reload"]);
    let refused =
        format!("{}{}", String::from_utf8_lossy(&refused.stdout), String::from_utf8_lossy(&refused.stderr));
    let line = 1 + conf.lines().position(|line| line.starts_with("retries")).unwrap();
    assert!(
        refused.contains(&format!("twitcher.conf:{line}:1: error: unknown field of [defaults] `retires`")),
        "{refused}"
    );
    assert_eq!(daemon.read("out").lines().count(), 3);
}

/// Two watches with one mutex record when they start and end. The daemon is killed while one runs and the other waits.
#[test]
fn runs_with_one_mutex_never_overlap_even_if_the_daemon_is_killed() {
    let mut daemon = Daemon::prepare("");
    let (out, gate) = (daemon.path("out").display().to_string(), daemon.path("gate").display().to_string());
    for name in ["a", "b"] {
        daemon.put(&format!("/{name}"), "1");
        let action = format!(
            "echo start >> {out}; test $(cat) = 1 || until test -e {gate}; do sleep 0.05; done; sleep 0.1; echo end >> {out}"
        );
        let text = format!("[[watch]]\nkey='/{name}'\nmutex='nginx'\naction='{action}'\n");
        daemon.write(&format!("{name}.toml"), &text);
    }
    let never_two = |text: &str| {
        for (number, line) in text.lines().enumerate() {
            assert_eq!(line, ["start", "end"][number % 2], "{text}");
        }
    };
    daemon.run();
    daemon.until_converged("a");
    daemon.until_converged("b");
    never_two(&daemon.read("out"));
    daemon.put("/a", "2");
    daemon.until_file("out", |text| text.lines().count() == 5);
    daemon.put("/b", "2");
    for _ in 0..2 {
        daemon.until_watch("b", |watch| watch["state"] == "waiting");
        let explained = daemon.say(&["explain", "b"]);
        assert!(explained.contains("it waits for the mutex nginx, which a run of a holds"), "{explained}");
        assert_eq!(daemon.read("out").lines().count(), 5, "b waits");
        daemon.kill();
        daemon.run();
        daemon.until_watch("a", |watch| watch["state"] == "running");
    }
    daemon.until_watch("b", |watch| watch["state"] == "waiting");
    std::fs::write(&gate, "").unwrap();
    daemon.until_converged("a");
    daemon.until_converged("b");
    let text = daemon.read("out");
    never_two(&text);
    assert!(text.lines().count() >= 8, "{text}");
}
