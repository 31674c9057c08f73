//! The example of the README with a real nginx: its configuration follows a tree of keys.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::fixture::daemon::until;
use crate::fixture::etcd::Etcd;
use crate::fixture::program::{Program, good};
use crate::fixture::server::{LONG, Server, free_port};

const NGINX: &str = "/usr/sbin/nginx";

/// Makes a configuration of what stands on standard input, beside the old one, and puts it in its place.
const REGENERATE: &str = r#"#!/bin/sh
set -eu
python3 -c '
import json, sys
for path, answer in sorted(json.load(sys.stdin).items()):
    print("location = /%s { return 200 %s; }" % (path, json.dumps(answer)))
' > locations.new
mv locations.new locations.conf
"#;

/// Ended in good order, however the test ends: a master that is killed leaves its workers behind.
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

fn configuration(place: &Path, port: u16) -> String {
    let mut text = String::new();
    let place = place.display();
    writeln!(text, "daemon off;\nworker_processes 1;\npid {place}/pid;\nerror_log {place}/error.log;")
        .unwrap();
    writeln!(text, "events {{ worker_connections 32; }}\nhttp {{\n  access_log off;").unwrap();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "  {kind}_temp_path {place}/{kind};").unwrap();
    }
    writeln!(
        text,
        "  server {{\n    listen 127.0.0.1:{port};\n    include {place}/locations.conf;\n  }}\n}}"
    )
    .unwrap();
    text
}

/// The whole answer, so that a refusal shows, too.
fn answer(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn nginx_follows_its_keys(store: &str) {
    assert!(Path::new(NGINX).exists(), "{NGINX} is missing: apt-get install nginx-light");
    let port = free_port();
    let place = tempfile::Builder::new().prefix("twitcher-nginx.").tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    std::fs::write(at("locations.conf"), "").unwrap();
    std::fs::write(at("nginx.conf"), configuration(place.path(), port)).unwrap();
    std::fs::write(at("regenerate"), REGENERATE).unwrap();
    std::fs::set_permissions(at("regenerate"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let prefix = place.path().display().to_string();
    let args = ["-p", &prefix, "-c", &at("nginx.conf")].map(str::to_owned);
    let mut nginx = Nginx(Server::start(NGINX, &args, Path::new(&at("log"))));
    let log = || std::fs::read_to_string(at("log")).unwrap_or_default();
    until("nginx to serve", || {
        assert!(!nginx.0.has_ended(), "{}", log());
        answer(port, "/").filter(|answer| answer.contains("404"))
    });

    good(store, &["put", "/nginx/hello", "first"]);
    let command =
        format!("cd {prefix} && ./regenerate && {NGINX} -p {prefix} -c {} -s reload", at("nginx.conf"));
    let watch = Program::start(store, &["watch", "/nginx", "--tree", "--", "sh", "-c", &command]);
    let serves = |path: &str, what: &str| {
        until(what, || answer(port, path).filter(|answer| answer.ends_with(what)));
    };
    serves("/hello", "first");
    good(store, &["put", "/nginx/hello", "second"]);
    good(store, &["put", "/nginx/more", "third"]);
    serves("/hello", "second");
    serves("/more", "third");
    good(store, &["del", "/nginx/more"]);
    until("the location to be gone", || answer(port, "/more").filter(|answer| answer.contains("404")));
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
