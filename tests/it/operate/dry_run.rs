//! `--dry-run`: what would be run or changed is shown, and nothing is.

use std::path::Path;

use crate::fixture::daemon::{Daemon, until};

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_trigger_is_shown_with_everything_that_the_run_would_get() {
    let mut daemon = Daemon::prepare("host = 'web-17'\n[vars]\nrole = 'web'");
    daemon.put("/a", b"one\n\xff");
    let out = daemon.path("out").display().to_string();
    let watch = format!(
        "[[watch]]\nkey = '/a'\naction = ['tee', '{out}']\nuid = 'nobody'\ncwd = '/tmp'\numask = '077'\nnice = 7\n\
         limits = {{ nofile = 64 }}\nenv = {{ COLOUR = 'blue' }}\nrun_on_load = false\nsettle = '1h'\n"
    );
    daemon.write("a.toml", &watch);
    daemon.write("script.toml", "[[watch]]\nkey = '/none'\nscript = '#!/bin/sh\\ntrue'\n");
    daemon.run();
    daemon.until_watch("a", |watch| watch["version"].is_string());
    // It reads the key first.
    daemon.put("/a", b"two\n\xff");
    let shown = daemon.ask(&["trigger", "a", "--dry-run"]);
    assert!(shown.status.success(), "{}", stderr(&shown));
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    for line in [
        "watch       a\n",
        "user        nobody (65534)\n",
        "directory   /tmp\n",
        "umask       077\n",
        "nice        7\n",
        "limits      nofile = 64\n",
        "environment COLOUR=blue\n            HOME=",
        "            TWITCHER_HOST=web-17\n",
        "            TWITCHER_REASON=trigger\n",
        "            TWITCHER_VAR_ROLE=web\n",
        &format!("arguments   tee\n            {out}\n"),
        "input       5 bytes:\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(shown.stdout.ends_with(b"bytes:\ntwo\n\xff"), "{text}");
    assert!(!text.contains("refused"), "{text}");
    let cached = daemon.say(&["trigger", "a", "--dry-run", "--cached"]);
    assert!(cached.contains("state       the last known one, verified "), "{cached}");
    let absent = daemon.ask(&["trigger", "script", "--dry-run"]);
    assert!(!absent.status.success() && stderr(&absent).contains("does not exist"), "{}", stderr(&absent));
    daemon.put("/none", "");
    daemon.until_runs("script", 1);
    assert!(daemon.say(&["trigger", "script", "--dry-run"]).contains("arguments   /"));
    daemon.say(&["pause", "a"]);
    assert!(daemon.say(&["trigger", "a", "--dry-run"]).contains("refused     a is paused"));
    assert_eq!(daemon.watch("a")["runs"], 0);
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_trigger_of_a_paused_watch_is_refused_without_asking_the_store() {
    // Nothing listens there.
    let settings = "[store.gone]\nurl = 'etcd://127.0.0.1:1'";
    let watch = "[[watch]]\nkey = '/a'\nstore = 'gone'\naction = 'true'\n";
    let daemon = Daemon::start(settings, &[("a.toml", watch)]);
    let unread = daemon.ask(&["trigger", "a"]);
    assert!(stderr(&unread).contains("cannot read /a from store gone"), "{}", stderr(&unread));
    daemon.say(&["pause", "a"]);
    let refused = daemon.ask(&["trigger", "a"]);
    assert!(stderr(&refused).contains("a is paused; say `twitcher resume a` first"), "{}", stderr(&refused));
}

#[test]
fn a_reload_is_shown_and_changes_nothing() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    let watch = |key: &str| format!("[[watch]]\nkey = '{key}'\naction = 'true'\n");
    for name in ["changed", "gone", "kept", "broken"] {
        daemon.write(&format!("{name}.toml"), &watch("/a"));
    }
    daemon.run();
    for name in ["changed", "gone", "kept", "broken"] {
        daemon.until_runs(name, 1);
    }
    let before = daemon.say(&["reload", "--dry-run"]);
    assert_eq!(before, "unchanged: 4\n");
    // twitcher.conf is not read by itself, so that this is what `reload` would do.
    let settings = daemon.read("config/twitcher.conf");
    let changed = settings
        .replace("log =", "max_processes = 7\nhttp_listen = '127.0.0.1:1'\n[defaults]\nretries = 1\n#");
    let changed = format!("log = 'stderr'\n{changed}");
    let top = changed.replace("state_dir", "#state_dir").replace("control_socket", "#control_socket");
    let own =
        settings.lines().filter(|line| line.starts_with("state_dir") || line.starts_with("control_socket"));
    let own: String = own.fold(String::new(), |text, line| text + line + "\n");
    std::fs::write(daemon.path("config/twitcher.conf"), own + &top).unwrap();
    let shown = daemon.say(&["reload", "--dry-run"]);
    assert_eq!(
        shown,
        "would be changed: broken, changed, gone, kept\nmax_processes would change\n\
         http_listen would change at the next start of the daemon\nunchanged: 0\n"
    );
    std::fs::write(daemon.path("config/twitcher.conf"), &settings).unwrap();

    // Watch files are read by themselves; with one more or less at the moment of the question all that can be said is
    // what was there.
    daemon.write("broken.toml", "[[watch]]\nkey = 7\naction = 'true'\n");
    until("the broken file", || {
        let shown = daemon.ask(&["reload", "--dry-run"]);
        let problem = stderr(&shown).contains("broken.toml:2:7");
        assert_eq!(String::from_utf8_lossy(&shown.stdout), "unchanged: 4\n");
        (problem && shown.status.code() == Some(1)).then_some(())
    });
    let json: serde_json::Value =
        serde_json::from_slice(&daemon.ask(&["reload", "--dry-run", "--json"]).stdout).unwrap();
    assert_eq!((&json["dry_run"], &json["unchanged"]), (&true.into(), &4.into()), "{json}");
    assert_eq!(daemon.watch("kept")["runs"], 1);
    assert!(!daemon.log().contains("max_processes"), "{}", daemon.log());
}
