//! Daemons whose `twitcher.conf` has errors: at the start, with and without the settings that an earlier daemon remembered,
//! and at a reload (promises P4 and P7).

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::fixture::daemon::{Daemon, until};
use crate::fixture::server::{dying_with_us, http_get};

/// A daemon with two stores, and watches that depend on different settings: `plain` on the default store, `other` on a named
/// store, and `role` on a variable.
fn prepare() -> Daemon {
    let daemon = Daemon::prepare("");
    conf(&daemon, GOOD);
    let out = daemon.path("out").display().to_string();
    for (name, key, more) in
        [("plain", "/a", ""), ("other", "/a", "store='other'\n"), ("role", "/${role}", "")]
    {
        let action = format!("echo $TWITCHER_WATCH $TWITCHER_VAR_ROLE $TWITCHER_HOST >> {out}");
        let text = format!("[[watch]]\nkey='{key}'\nrun_on_load=true\n{more}action='{action}'\n");
        daemon.write(&format!("{name}.toml"), &text);
    }
    std::fs::create_dir_all(daemon.path("others")).unwrap();
    std::fs::write(daemon.path("others/a"), "1").unwrap();
    daemon.put("/a", "1");
    daemon.put("/web", "1");
    daemon
}

const GOOD: &str = "\
default_store = 'main'
max_processes = 7
host = 'web-1'
log_level = 'info'
[vars]
role = 'web'
[defaults]
timeout = '5m'
[fleet]
ttl = '20s'
[store.main]
url = 'dir://TOP/keys'
[store.other]
url = 'dir://TOP/others'
";

/// A part, a line of it, the broken line, and the watches that are still loaded if no settings are remembered.
const FAULTS: &[(&str, &str, &str, &[&str])] = &[
    ("`default_store`", "default_store = 'main'", "default_store = 'mian'", &["other"]),
    ("`max_processes`", "max_processes = 7", "max_processes = 0", &[]),
    ("`host`", "host = 'web-1'", "host = 1", &[]),
    ("`log_level`", "log_level = 'info'", "log_level = ", &["other", "plain", "role"]),
    ("[vars]", "role = 'web'", "role = 1", &[]),
    ("[defaults]", "timeout = '5m'", "timeuot = '5m'", &[]),
    ("[fleet]", "ttl = '20s'", "ttl = 1", &["other", "plain", "role"]),
    ("[store.other]", "url = 'dir://TOP/others'", "url = dir:", &["plain", "role"]),
    ("[store.main]", "url = 'dir://TOP/keys'", "url = 'dri://TOP/keys'", &["other"]),
];

fn conf(daemon: &Daemon, text: &str) {
    let top = daemon.place.path().display().to_string();
    let head =
        format!("log = \"stderr\"\nstate_dir = \"{top}/state\"\ncontrol_socket = \"{top}/control.sock\"\n");
    daemon.write("twitcher.conf", &(head + &text.replace("TOP", &top)));
}

fn complaints(daemon: &Daemon) -> String {
    daemon.status()["daemon"]["complaints"].to_string()
}

fn loaded(daemon: &Daemon) -> Vec<String> {
    let status = daemon.status();
    let name = |watch: &serde_json::Value| watch["name"].as_str().unwrap().to_owned();
    status["watches"].as_array().unwrap().iter().map(name).collect()
}

/// Waits until each of the three watches has run this often.
fn until_all_ran(daemon: &Daemon, times: usize) {
    daemon.until_file("out", |text| {
        ["plain web web-1", "other web web-1", "role web web-1"]
            .iter()
            .all(|line| text.lines().filter(|written| written == line).count() >= times)
    });
}

#[test]
fn a_start_with_a_broken_part_uses_its_last_valid_value() {
    let mut daemon = prepare();
    daemon.run();
    until_all_ran(&daemon, 1);
    assert_eq!(complaints(&daemon), "[]");
    let kept = until("the settings", || std::fs::metadata(daemon.path("state/settings")).ok());
    assert_eq!(kept.mode() & 0o7777, 0o600);
    assert!(daemon.stop().success());
    for (number, (part, line, wrong, _)) in FAULTS.iter().enumerate() {
        assert!(GOOD.contains(line), "{line}");
        conf(&daemon, &GOOD.replace(line, wrong));
        daemon.run();
        until_all_ran(&daemon, number + 2);
        let told = complaints(&daemon);
        assert!(told.contains("twitcher.conf has errors") && told.contains(part), "{part}: {told}");
        assert!(
            told.contains("the last valid values are in effect") && !told.contains("not loaded"),
            "{told}"
        );
        assert!(daemon.stop().success());
    }
    // One that is no TOML, with the two lines that say where the daemon lives.
    conf(&daemon, "<html>[\n");
    daemon.run();
    until_all_ran(&daemon, FAULTS.len() + 2);
    assert!(complaints(&daemon).contains("twitcher.conf has errors"));
    // Once it is corrected, there is no complaint, and no watch runs again.
    conf(&daemon, GOOD);
    daemon.say(&["reload"]);
    assert_eq!(complaints(&daemon), "[]");
    assert_eq!(daemon.read("out").lines().count(), 3 * (FAULTS.len() + 2));
}

#[test]
fn without_remembered_settings_only_watches_that_do_not_need_the_broken_part_are_loaded() {
    let mut daemon = prepare();
    for (part, line, wrong, left) in FAULTS {
        let _ = std::fs::remove_dir_all(daemon.path("state"));
        conf(&daemon, &GOOD.replace(line, wrong));
        daemon.run();
        assert_eq!(loaded(&daemon), *left, "{part}");
        let told = complaints(&daemon);
        assert!(told.contains("twitcher.conf has errors") && told.contains(part), "{part}: {told}");
        assert_eq!(
            told.contains("not loaded until twitcher.conf is corrected"),
            left.len() < 3,
            "{part}: {told}"
        );
        for name in ["other", "plain", "role"].iter().filter(|name| !left.contains(name)) {
            let explained = daemon.ask(&["explain", name]);
            let why = String::from_utf8_lossy(&explained.stderr);
            assert_eq!(explained.status.code(), Some(1));
            assert!(why.contains("is not loaded, because no valid value is known for"), "{part}: {why}");
            let status = daemon.status();
            let file = status["files"].as_array().unwrap().iter().find(|file| file["not_loaded"][0] == *name);
            assert_eq!(file.unwrap()["state"], "refused", "{part}");
        }
        for name in *left {
            daemon.until_runs(name, 1);
        }
        assert!(!daemon.path("state/settings").exists(), "only what is valid is remembered");
        // Once it is corrected, all watches are loaded.
        conf(&daemon, GOOD);
        daemon.say(&["reload"]);
        assert_eq!((loaded(&daemon).len(), complaints(&daemon).as_str()), (3, "[]"), "{part}");
        assert!(daemon.stop().success());
    }
}

#[test]
fn the_log_of_a_bad_file_is_short_and_the_metrics_tell() {
    let port = crate::fixture::port::Port::claim();
    let mut daemon = prepare();
    for number in 0..300 {
        daemon.write(&format!("many/{number}.toml"), "[[watch]]\nkey='/none'\naction='true'\n");
    }
    let listen = format!("http_listen = '127.0.0.1:{}'\n", port.number());
    let bad = listen + &GOOD.replace("timeout = '5m'", "timeout = 'soon'");
    conf(&daemon, &bad);
    daemon.run();
    let status = daemon.say(&["status"]);
    assert!(status.lines().count() < 15, "{status}");
    assert!(status.contains("303 watches are not loaded"), "{status}");
    assert!(status.contains("twitcher.conf:"), "{status}");
    let lines = || daemon.log().lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines() < 20, "{}", daemon.log());
    assert_eq!(daemon.log().matches("303 watches are not loaded").count(), 1);
    // [defaults] is broken, and nothing is known from before; http_listen is right.
    let page = http_get(port.number(), "/metrics").unwrap();
    assert!(page.contains("\ntwitcher_settings_broken 1\n"), "{page}");
    assert!(page.contains("\ntwitcher_watches_not_loaded 303\n"), "{page}");
    let before = lines();
    let reload = daemon.ask(&["reload"]);
    assert!(!reload.status.success());
    assert!(String::from_utf8_lossy(&reload.stderr).lines().count() < 15);
    assert!(lines() - before < 3, "a reload that finds the same says nothing new: {}", daemon.log());
}

#[test]
fn a_file_that_breaks_while_the_daemon_runs_changes_nothing() {
    let mut daemon = prepare();
    daemon.run();
    until_all_ran(&daemon, 1);
    for bad in ["host = 'db-1'\nlog_level = 1\n", "[[[", "[store.main]\nurl = 'dir:///nowhere'\nx = 1\n"] {
        conf(&daemon, bad);
        let reload = daemon.ask(&["reload"]);
        assert!(!reload.status.success());
        assert_eq!(String::from_utf8_lossy(&reload.stdout), "unchanged: 3\n");
        let told = complaints(&daemon);
        assert!(told.contains("its last valid version stays in effect"), "{told}");
    }
    // A file that cannot be read changes nothing either.
    std::fs::remove_file(daemon.path("config/twitcher.conf")).unwrap();
    nix::unistd::mkfifo(&daemon.path("config/twitcher.conf"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    daemon.signal(Signal::SIGHUP);
    until("the complaint", || daemon.log().contains("it is not a regular file").then_some(()));
    assert_eq!(daemon.read("out").lines().count(), 3, "{}", daemon.read("out"));
}

/// What a start says, and its exit status.
fn start(daemon: &Daemon) -> (String, Option<i32>) {
    let mut command = dying_with_us(env!("CARGO_BIN_EXE_twitcher"));
    let output =
        command.arg("-c").arg(daemon.path("config")).arg("run").stdin(Stdio::null()).output().unwrap();
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

#[test]
fn without_a_known_state_directory_the_daemon_refuses_to_start_and_says_why_in_few_lines() {
    assert!(nix::unistd::geteuid().is_root(), "this test changes owners: run it as root");
    let daemon = prepare();
    for number in 0..300 {
        daemon.write(&format!("many/{number}.toml"), "[[watch]]\nkey='/none'\naction='true'\n");
    }
    let path = daemon.path("config/twitcher.conf");
    let faults: [(&str, &dyn Fn()); 6] = [
        ("not a regular file", &|| {
            std::fs::remove_file(&path).unwrap();
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("belongs to user 4321", &|| {
            std::fs::remove_file(&path).unwrap();
            conf(&daemon, GOOD);
            std::os::unix::fs::chown(&path, Some(4321), None).unwrap();
        }),
        ("is writable by everyone", &|| {
            conf(&daemon, GOOD);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("expected", &|| daemon.write("twitcher.conf", "no toml\n")),
        ("state_dir", &|| daemon.write("twitcher.conf", "state_dir = 'state'\n")),
        ("2097152 bytes", &|| daemon.write("twitcher.conf", &"#".repeat(2 << 20))),
    ];
    for (words, damage) in faults {
        damage();
        let (told, code) = start(&daemon);
        assert_eq!(code, Some(1), "{told}");
        assert!(
            told.contains(words) && told.contains("`state_dir` cannot be read out of the file"),
            "{told}"
        );
        assert!(told.lines().count() < 20, "{told}");
        assert!(!daemon.path("state").exists());
    }
}

#[test]
fn an_unknown_control_socket_is_opened_as_soon_as_it_is_known() {
    let daemon = prepare();
    conf(&daemon, GOOD);
    let good = daemon.read("config/twitcher.conf");
    let bad: Vec<&str> = good.lines().filter(|line| !line.starts_with("control_socket")).collect();
    daemon.write("twitcher.conf", &format!("control_socket = 1\n{}\n", bad.join("\n")));
    let log = std::fs::File::create(daemon.path("log")).unwrap();
    let mut command = dying_with_us(env!("CARGO_BIN_EXE_twitcher"));
    command.arg("-c").arg(daemon.path("config")).arg("run").stdin(Stdio::null()).stderr(log);
    let mut child = command.spawn().unwrap();
    until_all_ran(&daemon, 1);
    assert!(daemon.log().contains("no valid value is known for `control_socket`"), "{}", daemon.log());
    assert!(!daemon.path("control.sock").exists());
    daemon.write("twitcher.conf", &good);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGHUP).unwrap();
    until("an answer", || daemon.ask(&["status", "--json"]).status.success().then_some(()));
    assert_eq!(complaints(&daemon), "[]");
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
}
