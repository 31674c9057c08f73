//! The views of a group: the page, `status --follow`, and the full screen.

use std::io::{Read, Write};

use serde_json::Value;

use super::hosts::{Fleet, HELD, Setup};
use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::port::Port;
use crate::fixture::program::Program;
use crate::fixture::terminal::Terminal;

/// The head and the body of an answer.
fn ask(port: u16, method: &str, path: &str) -> (String, String) {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "{method} {path} HTTP/1.0\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

#[test]
fn the_page_shows_groups_and_runs_nothing() {
    let etcd = Etcd::start();
    let port = Port::claim();
    let mut fleet = Fleet::without_daemons(&etcd.url());
    (0..3).for_each(|host| {
        fleet.add(host, Setup { action: HELD, terms: "waves = [1]\nsoak = '0s'", ..Setup::default() });
    });
    // A host whose name is markup, and whose daemon serves the page.
    let conf = |page: &str| {
        format!(
            "host = \"<script>'\\\"&\"\nhttp_listen = '127.0.0.1:{}'\n[fleet]\nttl = '10s'\n{page}\n[store.main]\nurl = '{}'\n",
            port.number(),
            etcd.url()
        )
    };
    let watch = fleet.watch(Setup { action: HELD, terms: "waves = [1]\nsoak = '0s'", ..Setup::default() });
    let daemon = Daemon::start(&conf(""), &[("git.toml", &watch)]);
    let get = |path: &str| ask(port.number(), "GET", path);
    let page = until("the host's row", || {
        let (head, body) = get("/fleet/git");
        (status(&head) == "200" && body.contains("script")).then_some(body)
    });
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;&#39;&quot;&amp;"), "{page}");
    for part in
        ["class=\"wave open\"", "to 1", "prefers-color-scheme: dark", "http-equiv=\"refresh\"", "/git/head"]
    {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(!page.contains("http://") && !page.contains("src="), "it needs nothing from elsewhere: {page}");
    let (head, index) = get("/fleet");
    assert!(index.contains("<a href=\"/fleet/git\">git</a>"), "{index}");
    assert!(
        head.contains("content-security-policy: default-src 'none'; style-src 'unsafe-inline'"),
        "{head}"
    );
    assert!(head.contains("content-type: text/html"), "{head}");
    let (head, json) = get("/fleet/git.json");
    assert!(head.contains("content-type: application/json"), "{head}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["group"], &json["key"]), (&"git".into(), &"/git/head".into()), "{json}");
    assert_eq!(json.as_object().unwrap().len(), fleet.status().as_object().unwrap().len());

    for (method, path, expected) in [
        ("GET", "/fleet/nope", "404"),
        ("GET", "/fleet/nope.json", "404"),
        ("GET", "/fleet/%2e%2e%2f", "404"),
        ("HEAD", "/fleet/git", "200"),
        ("POST", "/fleet/git", "405"),
        ("PUT", "/fleet", "405"),
        ("DELETE", "/fleet/git.json", "405"),
    ] {
        let (head, _) = ask(port.number(), method, path);
        assert_eq!(status(&head), expected, "{method} {path}: {head}");
    }

    // Switched off at once.
    let text = std::fs::read_to_string(daemon.path("config/twitcher.conf")).unwrap();
    daemon.write("twitcher.conf", &text.replace("[fleet]\n", "[fleet]\npage = false\n"));
    daemon.say(&["reload"]);
    assert_eq!(status(&get("/fleet").0), "404");
    assert_eq!(status(&get("/fleet/git").0), "404");
}

#[test]
fn followers_see_what_happens() {
    let etcd = Etcd::start();
    let fleet = Fleet::start(&etcd.url(), "canary = ['h2']\nsoak = '0s'", HELD);
    fleet.let_all_go_on();
    fleet.until_all_have(&fleet.version());
    fleet.hold_all();
    let mut follower = Program::start(&fleet.url, &["fleet", "status", "git", "--json", "--follow"]);
    let command =
        format!("{} fleet status --follow; echo status $?; read -r _", env!("CARGO_BIN_EXE_twitcher"));
    let terminal = Terminal::start((100, 30), &command, &[("TWITCHER_STORE", &fleet.url)]);
    terminal.shows("all hosts have it");
    let version = fleet.put("second");
    fleet.until_started(&version, 1);
    terminal.until("the canary to run", |screen| {
        screen.contains("▸ canaries") && screen.contains("0 of 1") && screen.contains("h2  running")
    });
    terminal.shows("h2 runs");
    fleet.let_go_on(2);
    terminal.shows("h2 converged");
    terminal.press("?");
    terminal.shows("scroll the hosts");
    terminal.press("?");
    fleet.let_all_go_on();
    fleet.until_all_have(&version);
    terminal.shows("all hosts have it");
    terminal.press("q");
    terminal.shows("status 0");
    follower.says("\"state\":\"done\"");
    let (seen, version) = (follower.out(), format!("\"version\":\"{version}\""));
    let states: Vec<Value> = seen.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(states.len() > 1 && seen.contains(&version), "{seen}");
}
