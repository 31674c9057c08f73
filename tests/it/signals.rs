//! Signals that the daemon receives and inherits, and its duty as PID 1.
#![expect(clippy::unwrap_used, reason = "this file is tests only")]

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fixture::daemon::{Daemon, stays_silent_for, until};

const ECHO: &str = "[[watch]]\nname = \"a\"\nkey = \"/a\"\nsettle = 0\naction = \"cat\"\n";

fn until_logged(daemon: &Daemon, text: &str) {
    until(text, || daemon.log().contains(text).then_some(()));
}

#[test]
fn signals_are_logged_with_their_sender_and_unused_ones_are_ignored() {
    let mut daemon = Daemon::start("", &[("a.toml", ECHO)]);
    let (us, uid) = (std::process::id(), nix::unistd::getuid());
    let unused =
        ["USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "STKFLT", "XCPU"].map(|name| format!("SIG{name}"));
    for name in &unused {
        daemon.signal(name.parse().unwrap());
        until_logged(&daemon, &format!("ignored {name} from process {us} of uid {uid}"));
    }
    // nix has no real-time signals.
    let last = libc::SIGRTMAX();
    let kill =
        std::process::Command::new("kill").args([format!("-{last}"), daemon.pid().to_string()]).status();
    assert!(kill.unwrap().success());
    until_logged(&daemon, &format!("ignored signal {last} from process "));
    daemon.signal(Signal::SIGXFSZ);
    daemon.signal(Signal::SIGHUP);
    until_logged(&daemon, &format!("received SIGHUP from process {us} of uid {uid}"));
    daemon.put("/a", "still here");
    daemon.until_runs("a", 1);
    assert!(daemon.stop().success());
    assert!(
        daemon.log().contains(&format!("received SIGTERM from process {us} of uid {uid}")),
        "{}",
        daemon.log()
    );
}

#[test]
fn inherited_signal_settings_are_reset_and_runs_start_with_defaults() {
    let mut daemon = Daemon::prepare("");
    let out = daemon.path("signals");
    daemon.write(
        "a.toml",
        &ECHO.replace("\"cat\"", &format!("\"exec cat /proc/self/status > {}\"", out.display())),
    );
    daemon.run_through(&["env", "--block-signal", "--ignore-signal=CHLD", "--ignore-signal=USR2"]);
    daemon.put("/a", "1");
    let run = daemon.until_runs("a", 1);
    assert_eq!(run["last"]["outcome"], "succeeded", "{run}");
    let inherited = std::fs::read_to_string(out).unwrap();
    for mask in ["SigBlk", "SigIgn", "SigCgt"] {
        assert!(inherited.contains(&format!("{mask}:\t0000000000000000")), "{inherited}");
    }
    let own = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    assert!(own.contains("SigBlk:\t0000000000000000"), "{own}");
    let ignored = own.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    for signal in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        assert_ne!(ignored & 1 << (signal as i32 - 1), 0, "{signal} {ignored:x}");
    }
    daemon.signal(Signal::SIGHUP);
    until_logged(&daemon, "received SIGHUP");
    assert!(daemon.stop().success());
}

/// The ended and uncollected children of a process.
fn zombies(parent: i32) -> usize {
    let children = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned);
        (fields.next()? == "Z" && fields.next()?.parse() == Ok(parent)).then_some(())
    });
    children.count()
}

#[test]
fn as_pid_1_the_daemon_reaps_orphans_and_still_learns_outcomes() {
    assert!(nix::unistd::geteuid().is_root(), "a PID namespace is root's to make: run the tests as root");
    let mut daemon = Daemon::prepare("");
    // Each run leaves three orphans that end soon, and itself exits with its own code.
    daemon.write(
        "a.toml",
        "[[watch]]\nname = \"a\"\nkey = \"/a\"\nsettle = 0\nretries = 0\noutput = \"null\"\n\
         action = \"for i in 1 2 3; do setsid sh -c 'sleep 0.2' & done; exit $(cat)\"\n",
    );
    daemon.run_through(&["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid())).unwrap();
    let init: i32 = children.trim().parse().unwrap();
    for code in 1..=20 {
        daemon.put("/a", code.to_string());
        let watch = daemon.until_watch("a", |watch| watch["last"]["exit_code"] == code);
        assert_eq!(watch["last"]["outcome"], "failed", "{watch}");
    }
    until("every orphan to be collected", || {
        let orphans = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
        (zombies(init) == 0 && orphans.trim().is_empty()).then_some(())
    });
    assert!(!daemon.say(&["history", "a", "--json"]).contains("\"unknown\""));
}

/// A program that becomes root altogether, as sudo does: the daemon may not even send it a signal.
#[test]
fn a_signal_that_is_refused_is_one_warning_and_explain_does_not_claim_it() {
    use std::os::unix::fs::{PermissionsExt, chown};
    const NOBODY: u32 = 65534;
    let mut daemon = Daemon::prepare("");
    let sudo = daemon.path("sudo");
    std::fs::copy("/usr/bin/setpriv", &sudo).unwrap();
    std::fs::set_permissions(&sudo, std::fs::Permissions::from_mode(0o4755)).unwrap();
    for path in ["", "config", "keys", "config/twitcher.conf", "log"] {
        let path = daemon.path(path);
        if path.ends_with("log") {
            std::fs::write(&path, "").unwrap();
        }
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    daemon.put("/key", "1");
    daemon.write(
        "root.toml",
        &format!(
            "[[watch]]\nkey = '/key'\ntimeout = '1s'\nkill_after = '1s'\n\
             action = ['{}', '--reuid', '0', '--clear-groups', 'sleep', '1000']\n",
            sudo.display()
        ),
    );
    daemon.run_through(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    let root = daemon.until_watch("root", |watch| watch["running"][0]["pid"].is_i64());
    let pid = i32::try_from(root["running"][0]["pid"].as_i64().unwrap()).unwrap();
    let refused = || daemon.log().matches("may not be sent to the processes of the run").count();
    until("the warning", || (refused() > 0).then_some(()));
    let explained = |what: &str| {
        until(what, || Some(daemon.say(&["explain", "root"])).filter(|said| said.contains(what)))
    };
    let said = explained("refused to send it a signal");
    assert!(!said.contains("it was sent"), "{said}");
    // KILL is refused too, again and again, which is not worth another line.
    stays_silent_for(Duration::from_secs(2), "another warning", || refused() == 1);
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    daemon.until_watch("root", |watch| watch["runs"] == 1);
    assert!(daemon.log().contains("Let the daemon run as root with `uid`"), "{}", daemon.log());
}
