//! Requests of an operator to a running daemon, and the answers.

mod crowds;
mod dry_run;
mod escapes;
mod exhausted;
mod explain;
mod history;
mod slips;
mod status;
mod wait;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;

use crate::fixture::daemon::{Daemon, until};

const WATCH: &str = "[[watch]]\nkey = '/a'\naction = 'cat; echo $TWITCHER_REASON'\n";

#[test]
fn trigger_runs_the_action_now_and_history_shows_it() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "x\n");
    daemon.write("a.toml", WATCH);
    daemon.run();
    daemon.until_runs("a", 1);
    daemon.say(&["trigger", "a"]);
    daemon.until_runs("a", 2);
    let history: serde_json::Value = serde_json::from_str(&daemon.say(&["history", "a", "--json"])).unwrap();
    let reasons: Vec<_> =
        history["runs"].as_array().unwrap().iter().map(|run| run["reason"].clone()).collect();
    assert_eq!(reasons, ["load", "trigger"]);
    assert_eq!(history["runs"][1]["output"], "x\ntrigger");
    let text = daemon.say(&["history", "a"]);
    assert!(text.contains("trigger") && text.contains("    x\n"), "{text}");
    let table = daemon.say(&["status"]);
    assert!(table.contains("✓ a"), "{table}");
}

#[test]
fn a_paused_watch_starts_nothing_even_after_a_restart_and_resumes_with_the_newest_state() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1\n");
    daemon.write("a.toml", WATCH);
    daemon.run();
    daemon.until_runs("a", 1);
    daemon.say(&["pause", "a"]);
    daemon.put("/a", "2\n");
    daemon.until_watch("a", |watch| watch["version"] != watch["applied"]);
    daemon.kill();
    daemon.run();
    let watch = daemon.until_watch("a", |watch| watch["version"].is_string());
    assert_eq!((&watch["state"], &watch["runs"]), (&"paused".into(), &1.into()), "{watch}");
    let refused = daemon.ask(&["trigger", "a"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("resume"));
    assert!(daemon.say(&["explain", "a"]).contains("paused"));
    daemon.say(&["resume", "a"]);
    daemon.until_converged("a");
    daemon.say(&["pause", "a"]);
    daemon.say(&["resume", "a"]);
    assert_eq!(daemon.until_runs("a", 2)["runs"], 2, "no new state, so no run");
    daemon.say(&["pause", "a", "--for", "300ms"]);
    daemon.put("/a", "3\n");
    daemon.until_runs("a", 3);
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_known_name() {
    let daemon = Daemon::start("", &[("nginx.toml", WATCH)]);
    for command in ["status", "history", "explain", "trigger", "pause", "resume"] {
        let output = daemon.ask(&[command, "ngnix"]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("no watch is called `ngnix`; did you mean `nginx`?"), "{command}: {error}");
    }
}

#[test]
fn a_truncated_or_oversized_request_affects_no_other_client() {
    let daemon = Daemon::start("", &[("a.toml", WATCH)]);
    let mut answers = Vec::new();
    for request in [&b"{\"status\":{\"na"[..], b"\xff\xfe\n", b"{}\n", b"\n", &vec![b'x'; 200_000]] {
        let mut stream = UnixStream::connect(daemon.path("control.sock")).unwrap();
        let _ = stream.write_all(request);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answers.push(answer);
    }
    assert!(answers[0].contains("cut off"), "{answers:?}");
    assert!(answers[1].contains("not understood"), "{answers:?}");
    let held: Vec<_> = (0..8).map(|_| UnixStream::connect(daemon.path("control.sock")).unwrap()).collect();
    daemon.status();
    drop(held);
}

#[test]
fn the_socket_answers_only_root_and_the_daemons_own_user() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::start("", &[]);
    let socket = daemon.path("control.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The daemon checks the peer even if the file's mode lets others connect.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    std::fs::set_permissions(daemon.config(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // It is refused before it sends a byte.
    let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  print(s.makefile().read())";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", script]).arg(&socket);
    std::os::unix::process::CommandExt::uid(&mut command, 65534);
    let output = command.output().unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(answer.contains("answers only root"), "{answer}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_control_socket_replaces_only_a_stale_socket() {
    let mut daemon = Daemon::prepare("");
    let socket = daemon.path("control.sock");
    std::fs::write(&socket, "precious").unwrap();
    let refused = daemon.ask(&["run"]);
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("a file is there that is not a socket"), "{error}");
    assert_eq!(daemon.read("control.sock"), "precious");
    // A socket left by a killed daemon is replaced; at its end a daemon removes only its own.
    std::fs::remove_file(&socket).unwrap();
    daemon.run();
    daemon.kill();
    daemon.run();
    std::fs::remove_file(&socket).unwrap();
    let _others = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(daemon.stop().success());
    assert!(socket.exists(), "another daemon's");
}

#[test]
fn a_removed_control_socket_is_created_again() {
    let daemon = Daemon::start("", &[]);
    let socket = daemon.path("control.sock");
    std::fs::remove_file(&socket).unwrap();
    daemon.signal(Signal::SIGHUP);
    until("the socket", || daemon.ask(&["status"]).status.success().then_some(()));
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "in the way").unwrap();
    until("the complaint", || daemon.log().contains("the control socket was removed").then_some(()));
    std::fs::remove_file(&socket).unwrap();
    until("the socket", || daemon.ask(&["status"]).status.success().then_some(()));
}

#[test]
fn a_control_socket_in_a_directory_that_others_can_write_is_refused() {
    let daemon = Daemon::prepare("");
    let open = daemon.path("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let conf = daemon.path("config/twitcher.conf");
    let text = std::fs::read_to_string(&conf).unwrap().replace("/control.sock", "/open/control.sock");
    std::fs::write(&conf, text).unwrap();
    let refused = daemon.ask(&["run"]);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("refused to make the control socket") && error.contains("(mode 0777)"), "{error}");
    assert!(!open.join("control.sock").exists());
}

#[test]
fn metrics_are_served_once_a_taken_port_becomes_free() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut daemon = Daemon::prepare(&format!("http_listen = '127.0.0.1:{port}'"));
    daemon.put("/a", "x");
    daemon.write("a.toml", WATCH);
    daemon.run();
    daemon.until_converged("a");
    let complaints = || daemon.status()["daemon"]["complaints"].to_string();
    assert!(complaints().contains("cannot listen on"), "{}", complaints());
    drop(taken);
    until("no complaint", || (complaints() == "[]").then_some(()));
    assert!(get(port, "/healthz").starts_with("HTTP/1.0 200"));
}

/// A machine without a hardware clock boots in 1970, and learns the time later.
#[test]
fn a_pause_is_not_prolonged_by_a_wrong_clock() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1\n");
    daemon.write("a.toml", WATCH);
    daemon.run();
    daemon.until_converged("a");
    daemon.say(&["pause", "a", "--for", "10m"]);
    daemon.kill();
    let ledger = daemon.read("state/ledger");
    let at = ledger.rfind("\"until\":\"").unwrap() + "\"until\":\"".len();
    std::fs::write(daemon.path("state/ledger"), format!("{}2199{}", &ledger[..at], &ledger[at + 4..]))
        .unwrap();
    daemon.run();
    daemon.until_watch("a", |watch| watch["version"].is_string());
    let why = daemon.say(&["explain", "a"]);
    let seconds = why.split_once("it is paused for ").and_then(|(_, rest)| rest.split_once(" s more"));
    let seconds: f64 = seconds.unwrap_or_else(|| panic!("{why}")).0.parse().unwrap();
    assert!(seconds > 500.0 && seconds <= 601.0, "{why}");
}

#[test]
fn commands_reach_a_daemon_whose_settings_are_broken() {
    let daemon = Daemon::start("", &[("a.toml", WATCH)]);
    let settings = daemon.read("config/twitcher.conf");
    for broken in ["max_processes = 0\n", "default_stoer = 'x'\n", "log_level = \n"] {
        daemon.write("twitcher.conf", &(broken.to_owned() + &settings));
        let status = daemon.ask(&["status"]);
        let problem = String::from_utf8_lossy(&status.stderr);
        assert!(status.status.success() && problem.contains("twitcher.conf:1:"), "{broken}: {problem}");
    }
}

#[test]
fn without_a_daemon_a_command_says_what_to_do() {
    let daemon = Daemon::prepare("");
    let output = daemon.ask(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("no daemon answers on") && error.contains("twitcher run"), "{error}");
}

fn get(port: u16, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: x\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

#[test]
fn metrics_health_and_readiness_are_served() {
    let port = crate::fixture::port::Port::claim();
    let mut daemon = Daemon::prepare(&format!("http_listen = '127.0.0.1:{port}'"));
    daemon.put("/a", "x");
    daemon.write("a.toml", WATCH);
    daemon.run();
    daemon.until_converged("a");
    assert!(get(port.number(), "/healthz").starts_with("HTTP/1.0 200"));
    until("readiness", || get(port.number(), "/readyz").starts_with("HTTP/1.0 200").then_some(()));
    let page = get(port.number(), "/metrics");
    for line in [
        "twitcher_watch_runs_total{watch=\"a\",outcome=\"succeeded\"} 1",
        "twitcher_watch_converged{watch=\"a\"} 1",
        "twitcher_watch_gave_up{watch=\"a\"} 0",
        "twitcher_store_connected{store=\"local\"} 1",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
}

/// Without the rights of root, or with those of root except for bypassing permissions.
#[test]
fn a_user_without_permission_learns_who_may_ask() {
    let daemon = Daemon::start("", &[]);
    let config = std::fs::read_to_string(daemon.path("config/twitcher.conf")).unwrap();
    let socket = config.lines().find_map(|line| line.strip_prefix("control_socket = ")).unwrap();
    let socket = socket.trim_matches('"');
    std::fs::set_permissions(socket, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let program = env!("CARGO_BIN_EXE_twitcher");
    let mut command = std::process::Command::new(program);
    if nix::unistd::geteuid().is_root() {
        command = std::process::Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search", "--", program]);
    }
    let output = command.arg("-c").arg(daemon.path("config")).arg("status").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(socket) && said.contains("use sudo"), "{said}");
}
