//! The log's destinations with real sockets and pipes: what arrives, and that no reader blocks the program.
#![expect(clippy::unwrap_used, reason = "this file is tests only")]

mod server;

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tracing::subscriber::with_default;
use twitcher::internals::log::{self, Destination, LogLevel, Settings};

/// Libraries are logged from `error` on only, so the tests log as one of our modules.
const OURS: &str = "twitcher::tests";
const PATIENCE: Duration = crate::fixture::server::LONG;

fn settings(destination: Destination, socket: &Path) -> Settings {
    Settings {
        destination,
        level: LogLevel::Info,
        syslog_socket: socket.to_owned(),
        journald_socket: socket.to_owned(),
    }
}

fn listen(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UnixDatagram) -> String {
    let mut buffer = vec![0; 64 * 1024];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// Logs this many messages; returns how long that took.
fn flood(lines: usize) -> Duration {
    let start = Instant::now();
    for number in 0..lines {
        tracing::info!(target: OURS, number, "{}", "x".repeat(200));
    }
    start.elapsed()
}

#[test]
fn syslog_gets_one_line_with_fields() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let reader = listen(&path);
    let (subscriber, guard) = log::subscriber(&settings(Destination::Syslog, &path));
    with_default(subscriber, || {
        tracing::debug!(target: OURS, "not at this level");
        tracing::warn!(target: OURS, watch = %"git", run = %"a-1-1", outcome = "failed", "exited with 3\nand more");
    });
    let line = receive(&reader);
    assert!(line.starts_with("<28>"), "{line}");
    let tail = format!(
        " twitcher[{}]: git: exited with 3\\nand more [run=a-1-1 outcome=failed]",
        std::process::id()
    );
    assert!(line.ends_with(&tail), "{line}");
    drop(guard);
}

#[test]
fn journald_gets_every_field() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let reader = listen(&path);
    let (subscriber, _guard) = log::subscriber(&settings(Destination::Journald, &path));
    with_default(
        subscriber,
        || tracing::error!(target: OURS, watch = %"git", outcome = "failed", code = 3, "it failed"),
    );
    let fields = receive(&reader);
    let fields: Vec<&str> = fields.lines().collect();
    let pid = format!("SYSLOG_PID={}", std::process::id());
    let expected = [
        "MESSAGE=it failed",
        "PRIORITY=3",
        "SYSLOG_FACILITY=3",
        "SYSLOG_IDENTIFIER=twitcher",
        pid.as_str(),
        "WATCH=git",
        "OUTCOME=failed",
        "CODE=3",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn a_stuck_reader_blocks_no_caller_and_learns_how_much_it_missed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let reader = listen(&path);
    let (subscriber, guard) = log::subscriber(&settings(Destination::Syslog, &path));
    let took = with_default(subscriber, || flood(100_000));
    assert!(took < PATIENCE, "{took:?}");
    let lost = guard.lost();
    assert!((50_000..100_000).contains(&lost), "{lost}");
    // It reads again: the rest arrives, and the number of lost messages.
    let mut arrived = 0;
    let told = loop {
        let line = receive(&reader);
        match line.split_once(" log messages were lost") {
            Some((head, _)) => break head.rsplit(' ').next().unwrap().parse::<u64>().unwrap(),
            None => arrived += 1,
        }
    };
    assert_eq!(told, lost);
    reader.set_nonblocking(false).unwrap();
    while !guard.flush(Duration::from_millis(1)) {
        receive(&reader);
        arrived += 1;
    }
    reader.set_nonblocking(true).unwrap();
    let mut buffer = [0; 1024];
    while reader.recv(&mut buffer).is_ok() {
        arrived += 1;
    }
    assert_eq!(arrived + lost, 100_000, "each arrived or was counted");
}

#[test]
fn a_log_daemon_that_starts_late_or_restarts_gets_the_queued_messages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let (subscriber, _guard) = log::subscriber(&settings(Destination::Syslog, &path));
    with_default(subscriber, || {
        for round in ["first", "second", "third"] {
            tracing::info!(target: OURS, "{round}, with nobody there");
            let reader = listen(&path);
            assert!(receive(&reader).ends_with(&format!("{round}, with nobody there")));
            tracing::info!(target: OURS, "{round}, with somebody there");
            assert!(receive(&reader).ends_with(&format!("{round}, with somebody there")));
            drop(reader);
            // Once the socket's file stays without a reader (ECONNREFUSED), once it is removed (ENOENT).
            if round == "first" {
                tracing::info!(target: OURS, "refused");
                std::fs::remove_file(&path).unwrap();
                let reader = listen(&path);
                assert!(receive(&reader).ends_with("refused"));
                drop(reader);
            }
            std::fs::remove_file(&path).unwrap();
        }
    });
}

#[test]
fn a_new_destination_and_level_take_effect_even_if_the_old_reader_is_dead() {
    let directory = tempfile::tempdir().unwrap();
    let (dead, alive) = (directory.path().join("dead"), directory.path().join("alive"));
    let reader = listen(&alive);
    let (subscriber, guard) = log::subscriber(&settings(Destination::Syslog, &dead));
    with_default(subscriber, || {
        tracing::info!(target: OURS, "one");
        tracing::info!(target: OURS, "two");
        guard.apply(&Settings { level: LogLevel::Debug, ..settings(Destination::Syslog, &alive) });
        tracing::debug!(target: OURS, "three");
        for word in ["one", "two", "three"] {
            assert!(receive(&reader).ends_with(word));
        }
    });
}

#[test]
fn a_dead_reader_does_not_delay_exit() {
    let directory = tempfile::tempdir().unwrap();
    let (subscriber, guard) = log::subscriber(&settings(Destination::Syslog, &directory.path().join("none")));
    with_default(subscriber, || tracing::info!(target: OURS, "for nobody"));
    let start = Instant::now();
    drop(guard);
    assert!(start.elapsed() < PATIENCE);
}

const INNER: &str = "TWITCHER_TEST_STDERR";

#[test]
fn standard_error_gets_text_or_json_and_an_unread_pipe_blocks_no_caller() {
    if let Ok(how) = std::env::var(INNER) {
        let destination: Destination = how.split(' ').next().unwrap().parse().unwrap();
        let guard = log::init(&settings(destination.clone(), Path::new("/nonexistent"))).unwrap();
        assert!(log::init(&settings(destination.clone(), Path::new("/nonexistent"))).is_err(), "only once");
        tracing::info!(target: OURS, watch = %"git", attempt = 2, "one\ntwo");
        if how.ends_with("unread") {
            flood(100_000);
            println!("lost {}", guard.lost());
        }
        if how.ends_with("panic") {
            let _ = std::thread::spawn(|| panic!("on purpose")).join();
        }
        drop(guard);
        return;
    }
    let start = |how: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "logging::standard_error_gets_text_or_json_and_an_unread_pipe_blocks_no_caller",
                "--nocapture",
            ])
            .env(INNER, how)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let written = |how: &str| String::from_utf8(start(how).wait_with_output().unwrap().stderr).unwrap();

    let text = written("stderr");
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert_eq!(rest, "INFO  git: one\n    two [attempt=2]\n");

    let json = written("json");
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["message"], "one\ntwo");
    assert_eq!(
        (&object["watch"], &object["attempt"], &object["level"]),
        (&"git".into(), &2.into(), &"info".into())
    );

    assert!(written("stderr panic").contains("a bug in twitcher: on purpose"));

    // The pipe is not read until the program has ended.
    let mut unread = start("stderr unread");
    let said: Vec<String> =
        BufReader::new(unread.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    let lost = said.iter().find_map(|line| line.split_once("lost ")).expect("the number of lost messages").1;
    assert!(lost.parse::<u64>().unwrap() > 50_000, "{lost}");
    assert!(unread.wait().unwrap().success());
    let mut rest = Vec::new();
    unread.stderr.take().unwrap().read_to_end(&mut rest).unwrap();
    assert!(rest.starts_with(b"20"), "what fitted into the pipe was written");
}

/// Whatever an action prints, its lines have a stream and none of the fields of the daemon's own lines.
#[test]
fn a_line_of_output_has_its_stream_and_cannot_be_taken_for_the_daemons_own() {
    use crate::fixture::daemon::{Daemon, until};
    let forged = "succeeded after 0.001 s (load, version 1, attempt 1)";
    let watch =
        format!("[[watch]]\nkey = '/a'\naction = \"echo '{forged}'; echo oops >&2; printf cut >&2\"\n");
    for form in ["stderr", "json"] {
        let mut daemon = Daemon::prepare("");
        let settings = daemon.read("config/twitcher.conf").replace("\"stderr\"", &format!("\"{form}\""));
        std::fs::write(daemon.path("config/twitcher.conf"), settings).unwrap();
        daemon.put("/a", "1");
        daemon.write("a.toml", &watch);
        daemon.run();
        daemon.until_runs("a", 1);
        let log = until("the end in the log", || {
            let log = daemon.log();
            let ended = |line: &str| line.contains("outcome") && line.contains("succeeded");
            log.lines().any(ended).then_some(log)
        });
        if form == "stderr" {
            for line in [&format!("a stdout: {forged} [run="), "a stderr: oops [run=", "a stderr: cut [run="]
            {
                assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
            }
            assert_eq!(log.matches(" a: succeeded after ").count(), 1, "{log}");
            continue;
        }
        let lines: Vec<serde_json::Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
        let of_output: Vec<_> = lines.iter().filter(|line| !line["stream"].is_null()).collect();
        let mut said: Vec<(&str, &str)> = of_output
            .iter()
            .map(|line| (line["stream"].as_str().unwrap(), line["message"].as_str().unwrap()))
            .collect();
        said.sort_unstable();
        assert_eq!(said, [("stderr", "cut"), ("stderr", "oops"), ("stdout", forged)]);
        for line in of_output {
            assert!(line["outcome"].is_null() && line["watch"] == "a" && line["run"].is_string(), "{line}");
        }
        assert_eq!(lines.iter().filter(|line| line["outcome"] == "succeeded").count(), 1, "{log}");
    }
}
