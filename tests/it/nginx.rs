//! nginx's configuration follows a tree of keys: the command of the README and of `--help`, and the packaged example,
//! word for word, with a real nginx.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::executable;
use crate::fixture::port::Port;
use crate::fixture::program::{Program, good};
use crate::fixture::server::{LONG, Server};
use crate::pages::{Machine, TWITCHER, fenced};

const NGINX: &str = "/usr/sbin/nginx";
const README: &str = include_str!("../../README.md");
const EXAMPLE: &str = include_str!("../../etc/examples/nginx.toml");

/// Renders standard input to a configuration beside the old one, and renames it into place.
const REGENERATE: &str = r#"#!/bin/sh
set -eu
python3 -c '
import json, sys
for path, answer in sorted(json.load(sys.stdin).items()):
    print("location = /%s { return 200 %s; }" % (path, json.dumps(answer)))
' > locations.new
mv locations.new locations.conf
"#;

/// Stopped gracefully, however the test ends: a master that is killed leaves its workers behind.
struct Nginx(Server);

impl Drop for Nginx {
    fn drop(&mut self) {
        let began = Instant::now();
        while !self.0.has_ended() && began.elapsed() < LONG {
            self.0.signal(Signal::SIGTERM);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// An nginx that serves the configuration `inside`, on a machine where the command `nginx` refers to it.
fn nginx(machine: &Machine, place: &Path, inside: &str) -> Nginx {
    assert!(Path::new(NGINX).exists(), "{NGINX} is missing: apt-get install nginx-light");
    let mut text = String::new();
    let at = place.display();
    writeln!(text, "daemon off;\nworker_processes 1;\npid {at}/pid;\nerror_log {at}/error.log;").unwrap();
    writeln!(text, "events {{ worker_connections 32; }}\nhttp {{\n  access_log off;").unwrap();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "  {kind}_temp_path {at}/{kind};").unwrap();
    }
    writeln!(text, "{inside}\n}}").unwrap();
    let configuration = place.join("nginx.conf");
    std::fs::write(&configuration, text).unwrap();
    let configuration = configuration.display().to_string();
    machine.program("nginx", &format!("exec {NGINX} -p '{at}' -c '{configuration}' \"$@\""));
    let args = ["-p".to_owned(), at.to_string(), "-c".to_owned(), configuration];
    Nginx(Server::start(NGINX, &args, &place.join("nginx.log")))
}

/// The whole response, so that a refusal shows too.
fn answer(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Waits until nginx responds with this.
fn serves(port: u16, path: &str, what: &str) {
    until(what, || answer(port, path).filter(|answer| answer.contains(what)));
}

/// The one line of the README.
fn command() -> String {
    let blocks = fenced(README, "sh");
    blocks.into_iter().find(|block| block.starts_with("twitcher watch /nginx ")).unwrap()
}

fn nginx_follows_its_keys(store: &str) {
    let place = tempfile::Builder::new().prefix("twitcher-nginx.").tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    let machine = Machine::new(place.path());
    machine.program("twitcher", &format!("exec '{TWITCHER}' \"$@\""));
    let port = Port::claim();
    std::fs::write(at("locations.conf"), "").unwrap();
    executable::write(Path::new(&at("regenerate")), REGENERATE);
    let server = format!("server {{ listen 127.0.0.1:{port}; include {}; }}", at("locations.conf"));
    let _nginx = nginx(&machine, place.path(), &server);
    serves(port.number(), "/", "404");

    good(store, &["put", "/nginx/hello", "first"]);
    // The test stops the command itself, not a shell around it.
    let mut shell = machine.shell(&format!("exec {}", command()));
    shell.env("TWITCHER_STORE", store);
    let watch = Program::start_command(shell);
    serves(port.number(), "/hello", "first");
    good(store, &["put", "/nginx/hello", "second"]);
    good(store, &["put", "/nginx/more", "third"]);
    serves(port.number(), "/hello", "second");
    serves(port.number(), "/more", "third");
    good(store, &["del", "/nginx/more"]);
    serves(port.number(), "/more", "404");
    assert!(!watch.err().contains("failed"), "{}", watch.err());
}

#[test]
fn nginx_follows_its_keys_in_etcd() {
    nginx_follows_its_keys(&Etcd::start().url());
}

#[test]
fn nginx_follows_its_keys_in_a_directory() {
    let keys = tempfile::tempdir().unwrap();
    nginx_follows_its_keys(&format!("dir://{}", keys.path().display()));
}

/// The packaged example, with paths of this test instead of those of a machine.
#[test]
fn the_packaged_example_writes_the_upstreams() {
    let mut daemon = Daemon::prepare("");
    let place = daemon.place.path().to_owned();
    let machine = Machine::new(&place).with("/etc/nginx", place.display());
    machine.program("systemctl", "[ \"$*\" = 'reload nginx' ] && exec nginx -s reload");
    let [front, one, two] = [Port::claim(), Port::claim(), Port::claim()];
    std::fs::create_dir(place.join("conf.d")).unwrap();
    std::fs::write(place.join("conf.d/upstream.conf"), format!("upstream web {{ server 127.0.0.1:{one}; }}"))
        .unwrap();
    let mut inside = format!(
        "include {}/conf.d/*.conf; server {{ listen 127.0.0.1:{front}; location / {{ proxy_pass http://web; }} }}",
        place.display()
    );
    for (port, text) in [(&one, "first"), (&two, "second")] {
        write!(inside, " server {{ listen 127.0.0.1:{port}; location / {{ return 200 {text}; }} }}").unwrap();
    }
    let _nginx = nginx(&machine, &place, &inside);
    serves(front.number(), "/", "first");

    let path = format!("env.PATH = '{}:/usr/bin:/bin'\n", place.join("programs").display());
    daemon.write("nginx.toml", &format!("{}{path}", machine.here(EXAMPLE)));
    daemon.put("/nginx/upstream/web2", format!("127.0.0.1:{two}"));
    daemon.run();
    daemon.until_converged("nginx-upstream");
    serves(front.number(), "/", "second");

    // A file that nginx refuses does not replace the good one.
    let good = std::fs::read_to_string(place.join("conf.d/upstream.conf")).unwrap();
    daemon.put("/nginx/upstream/web2", "no such server;;");
    daemon.until_watch("nginx-upstream", |watch| watch["failures"].as_u64() > Some(0));
    assert_eq!(std::fs::read_to_string(place.join("conf.d/upstream.conf")).unwrap(), good);
    daemon.put("/nginx/upstream/web2", format!("127.0.0.1:{one}"));
    daemon.until_converged("nginx-upstream");
    serves(front.number(), "/", "first");
    let left = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("conf.new")).collect();
    assert!(left.is_empty(), "{left:?}");
}
