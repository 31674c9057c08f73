//! Clients that connect and send nothing, or half a request: they cost the daemon few descriptors and block other clients
//! only briefly (promise P4).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{WATCH, get};
use crate::fixture::daemon::{Daemon, PATIENCE, stays_silent_for, until};
use crate::fixture::port::Port;

/// More than are served at once.
const CROWD: usize = 100;

fn descriptors(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}

/// A daemon at rest, so that the descriptors of its start are closed.
fn at_rest(settings: &str) -> Daemon {
    let daemon = Daemon::start(settings, &[("a.toml", WATCH)]);
    // The first start opens what later ones use too: the start guard's timer.
    daemon.converges_on("a", "/a", "first");
    daemon.until_watch("a", |watch| watch["state"] == "idle");
    daemon
}

fn listening() -> (Port, Daemon) {
    let port = Port::claim();
    let daemon = at_rest(&format!("http_listen = '127.0.0.1:{port}'"));
    (port, daemon)
}

#[test]
fn slow_scrapers_hold_few_descriptors_and_do_not_block_others() {
    let (port, daemon) = listening();
    let before = descriptors(&daemon);
    let mut crowd: Vec<TcpStream> =
        (0..CROWD).map(|_| TcpStream::connect(("127.0.0.1", port.number())).unwrap()).collect();
    for stream in &mut crowd {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nx-slow: ").unwrap();
    }
    until("all connections to be in use", || (descriptors(&daemon) >= before + 60).then_some(()));
    assert!(descriptors(&daemon) < before + 70);
    // The watches are not affected.
    daemon.converges_on("a", "/a", "x");
    assert!(get(port.number(), "/healthz").starts_with("HTTP/1.0 200"), "its turn came");
    for stream in &mut crowd {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        // Disconnected, with or without an answer.
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    }
    until("as many descriptors as before", || (descriptors(&daemon) <= before).then_some(()));
}

#[test]
fn a_keep_alive_request_is_answered_with_connection_close() {
    let (port, daemon) = listening();
    let before = descriptors(&daemon);
    let mut stream = TcpStream::connect(("127.0.0.1", port.number())).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("connection: close"), "{page}");
    until("as many descriptors as before", || (descriptors(&daemon) <= before).then_some(()));
}

#[test]
fn silent_clients_of_the_control_socket_are_disconnected() {
    let daemon = at_rest("");
    let before = descriptors(&daemon);
    let mut crowd: Vec<UnixStream> =
        (0..CROWD).map(|_| UnixStream::connect(daemon.path("control.sock")).unwrap()).collect();
    for stream in &mut crowd {
        stream.write_all(b"{\"status\":").unwrap();
    }
    until("all connections to be in use", || (descriptors(&daemon) >= before + 28).then_some(()));
    assert!(descriptors(&daemon) < before + 40);
    daemon.status();
    for stream in &mut crowd {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("did not come within"), "{answer}");
    }
}

fn limit_descriptors(daemon: &Daemon, most: &str) {
    let pid = daemon.pid().to_string();
    let status = std::process::Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={most}")])
        .status()
        .expect("run prlimit of util-linux");
    assert!(status.success());
}

#[test]
fn without_descriptors_connections_wait_and_nothing_spins() {
    let (port, daemon) = listening();
    // No number below three is free.
    limit_descriptors(&daemon, "3:1024");
    let before = daemon.cpu_time();
    let _http = TcpStream::connect(("127.0.0.1", port.number())).unwrap();
    let _control = UnixStream::connect(daemon.path("control.sock")).unwrap();
    daemon.until_file("log", |log| {
        log.contains("http_listen cannot accept") && log.contains("the control socket cannot accept")
    });
    stays_silent_for(Duration::from_secs(3), "it spins: a second of processor time", || {
        daemon.cpu_time().checked_sub(before).unwrap() < Duration::from_secs(1)
    });
    assert_eq!(daemon.log().matches("cannot accept a connection").count(), 2, "{}", daemon.log());
    limit_descriptors(&daemon, "1024:1024");
    until("an answer", || get(port.number(), "/healthz").starts_with("HTTP/1.0 200").then_some(()));
    daemon.status();
}
