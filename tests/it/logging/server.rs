//! A real log server over UDP and TCP.

use std::time::Duration;

use tracing::subscriber::with_default;
use twitcher::internals::log::{self, Destination, LogHandle, LogLevel, Settings};

use super::{OURS, PATIENCE};
use crate::fixture::rsyslog::Rsyslog;

const SCHEMES: [&str; 2] = ["syslog", "syslog+tcp"];

fn settings(url: &str) -> Settings {
    let destination: Destination = url.parse().unwrap();
    Settings { destination, level: LogLevel::Info, ..Settings::default() }
}

/// Logs to the server while `work` runs.
fn logging(url: &str, work: impl FnOnce(&LogHandle)) {
    let (subscriber, guard) = log::subscriber(&settings(url));
    with_default(subscriber, || work(&guard));
}

#[test]
fn fields_arrive_as_structured_data_and_a_newline_stays_in_its_message() {
    let server = Rsyslog::start();
    for scheme in SCHEMES {
        logging(&format!("{scheme}://127.0.0.1:{}", server.port()), |guard| {
            tracing::warn!(target: OURS, watch = %"git", run = %"a-1", outcome = "failed", exit_code = 3, "{scheme}\nit failed");
            tracing::info!(target: OURS, "{scheme} again");
            assert!(guard.flush(PATIENCE));
            // A message that begins where another ends would show a wrong length.
            let plain = server.message(&format!("{scheme} again"));
            assert!(plain.starts_with("30 "), "{plain}");
            assert!(
                plain.ends_with(&format!(" twitcher {} -|{scheme} again", std::process::id())),
                "{plain}"
            );
            let message = server.message(&format!("|git: {scheme}#012it failed"));
            assert!(message.starts_with("28 "), "{message}");
            let data = r#"[twitcher@32473 exit_code="3" outcome="failed" run="a-1" watch="git"]"#;
            assert!(message.contains(data), "{message}");
            let time = message.split(' ').nth(1).unwrap().parse::<jiff::Timestamp>().unwrap();
            let age = jiff::Timestamp::now().duration_since(time);
            assert!(age.abs() < jiff::SignedDuration::from_mins(5), "{message}");
        });
    }
    assert_eq!(server.messages().len(), 4, "{:?}", server.messages());
}

#[test]
fn a_udp_message_is_cut_at_8_kib_with_a_note_and_a_tcp_message_is_not() {
    let server = Rsyslog::start();
    logging(&format!("syslog://127.0.0.1:{}", server.port()), |_| {
        tracing::info!(target: OURS, watch = %"git", "{}", "x".repeat(10_000));
        let message = server.message(" bytes cut)");
        let (text, note) = message.split_once('|').unwrap().1.split_once('…').unwrap();
        assert!((7800..8096).contains(&text.len()), "{}", text.len());
        let said = 10_000 + "git: ".len() - text.len();
        assert_eq!(note, format!(" ({said} bytes cut)"));
    });
    logging(&format!("syslog+tcp://127.0.0.1:{}", server.port()), |_| {
        tracing::info!(target: OURS, "{}", "y".repeat(7_900));
        server.message(&"y".repeat(7_900));
    });
}

#[test]
fn messages_logged_while_the_server_is_down_arrive_afterwards() {
    let mut server = Rsyslog::start();
    for scheme in SCHEMES {
        // By a name, so that reconnecting resolves it again.
        logging(&format!("{scheme}://localhost:{}", server.port()), |guard| {
            for round in 1..=2 {
                tracing::info!(target: OURS, "{scheme} {round}: there");
                server.message(&format!("{scheme} {round}: there"));
                server.stop();
                // UDP learns from this datagram that the server is away; it is the one that may be lost.
                tracing::info!(target: OURS, "{scheme} {round}: first");
                guard.flush(Duration::from_millis(500));
                for number in 1..=20 {
                    tracing::info!(target: OURS, "{scheme} {round}: waits {number}");
                }
                assert!(!guard.flush(Duration::from_millis(300)), "with nobody there it must wait");
                server.restart();
                for number in 1..=20 {
                    server.message(&format!("{scheme} {round}: waits {number}"));
                }
                if scheme == "syslog+tcp" {
                    server.message(&format!("{scheme} {round}: first"));
                }
            }
            assert_eq!(guard.lost(), 0);
        });
    }
}

#[test]
fn an_unresolvable_server_blocks_neither_a_new_destination_nor_exit() {
    let server = Rsyslog::start();
    let (subscriber, guard) = log::subscriber(&settings("syslog+tcp://does-not-exist.invalid:514"));
    with_default(subscriber, || {
        tracing::info!(target: OURS, "for nobody");
        assert!(!guard.flush(Duration::from_millis(100)));
        guard.apply(&settings(&format!("syslog://127.0.0.1:{}", server.port())));
        server.message("for nobody");
        guard.apply(&settings("syslog://does-not-exist.invalid:514"));
        tracing::info!(target: OURS, "lost");
    });
    let start = std::time::Instant::now();
    drop(guard);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_flood_over_tcp_arrives_or_is_counted() {
    let server = Rsyslog::start();
    logging(&format!("syslog+tcp://127.0.0.1:{}", server.port()), |guard| {
        super::flood(20_000);
        assert!(guard.flush(PATIENCE));
        let lost = usize::try_from(guard.lost()).unwrap();
        if lost > 0 {
            server.message(" log messages were lost: the log's reader was away or too slow");
        }
        let ours = || server.messages().iter().filter(|message| message.contains("|xxx")).count();
        crate::fixture::server::wait_for("the rest of the flood", || ours() + lost >= 20_000);
        assert_eq!(ours() + lost, 20_000);
    });
}
