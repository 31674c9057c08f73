//! `dump` and `load` on each kind of store: nothing is lost, and no concurrent change is overwritten.

mod guard;

use std::collections::BTreeMap;
use std::process::Output;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use twitcher::store::Condition;
use twitcher::store::Store;
use twitcher::watch::Key;

use crate::fixture::etcd::Etcd;
use crate::fixture::program::{Program, good, program, run};
use crate::fixture::terminal::Terminal;
use crate::fixture::zookeeper::ZooKeeper;

type Values = BTreeMap<String, Vec<u8>>;

fn directory() -> (tempfile::TempDir, String) {
    let place = tempfile::Builder::new().prefix("twitcher-keys.").tempdir().unwrap();
    let url = format!("dir://{}", place.path().join("keys").display());
    (place, url)
}

fn with_input(store: &str, args: &[&str], input: &[u8]) -> Output {
    let mut command = assert_cmd::Command::new(program());
    command.env("TWITCHER_STORE", store).args(args).args(["--timeout", "60s"]).write_stdin(input);
    command.output().unwrap()
}

/// Names that are hard for some syntax; each store can hold a subset of them.
const ODD: [&str; 20] = [
    "", "base64", "null", "true", "1", "a.b", "a b", "\"", "'", "\n", "{}", "a: b", "é", "<<", "#", "\\",
    "=", ".x", "~", "\u{85}",
];

fn values(names: Vec<&'static str>) -> impl Strategy<Value = Values> {
    let segment = prop_oneof![
        3 => "[a-c]{1,2}",
        1 => prop::sample::select(names).prop_map(str::to_owned),
    ];
    // `//` at the end of a key would be two empty segments, which is no path.
    let path = prop::collection::vec(segment, 1..4)
        .prop_map(|segments| segments.join("/"))
        .prop_filter("told apart", |path| path != "/");
    let value = prop_oneof![
        "[ -~\n]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..8),
        prop::sample::select(vec!["1", "true", "null", "", "1.50", "2026-01-01"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::btree_map(path, value, 1..8)
}

/// Every key and value of a subtree survives a dump and a load in every syntax.
fn nothing_is_lost(url: &str, values: impl Strategy<Value = Values>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(Store::connect(url)).unwrap();
    let number = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&values, |values| {
        number.set(number.get() + 1);
        let from = format!("/from-{}", number.get());
        let put = |path: &str, value: &[u8]| {
            let (key, value) = (Key::new(path).unwrap(), Bytes::copy_from_slice(value));
            runtime.block_on(store.put(&key, value, Condition::Any)).unwrap();
        };
        let read = |at: &str| -> BTreeMap<String, Option<Bytes>> {
            let entries = runtime.block_on(store.list(&Key::new(at).unwrap())).unwrap().entries;
            entries.into_iter().map(|(path, entry)| (path, entry.value)).collect()
        };
        if !url.starts_with("dir:") {
            put(&from, b"its own");
        }
        for (path, value) in &values {
            put(&format!("{from}/{path}"), value);
        }
        for format in ["yaml", "json", "toml"] {
            let document = with_input(url, &["dump", &from, "--format", format], b"").stdout;
            let to = format!("/to-{}-{format}", number.get());
            let output = with_input(url, &["load", "-", "--at", &to, "--format", format], &document);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            prop_assert!(output.status.success(), "{}\n{}", said, String::from_utf8_lossy(&document));
            prop_assert_eq!(read(&from), read(&to), "{}", String::from_utf8_lossy(&document));
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_dump_from_etcd_loads_without_loss() {
    nothing_is_lost(&Etcd::start().url(), values(ODD.to_vec()));
}

#[test]
fn a_dump_from_zookeeper_loads_without_loss() {
    let held = ODD.iter().filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
    nothing_is_lost(&ZooKeeper::start().url(), values(held.copied().collect()));
}

#[test]
fn a_dump_from_a_directory_loads_without_loss() {
    let held = ODD.iter().filter(|name| !name.is_empty() && !name.starts_with('.'));
    let (_place, url) = directory();
    // A file has no children.
    let leaves = values(held.copied().collect()).prop_map(|mut values| {
        let paths: Vec<String> = values.keys().cloned().collect();
        values.retain(|path, _| !paths.iter().any(|other| other.starts_with(&format!("{path}/"))));
        values
    });
    nothing_is_lost(&url, leaves);
}

/// A name that a store cannot hold is found before anything is written.
#[test]
fn a_document_that_a_store_cannot_hold_is_refused_as_a_whole() {
    let server = ZooKeeper::start();
    let (_place, dir) = directory();
    let long = format!("a: 1\n\"{}\": 2\n", "x".repeat(300));
    for (url, document, named) in [
        (&dir, "a: 1\n.hidden: 2\n", "begins with a dot"),
        (&dir, "a: 1\n\"..\": {b: 2}\n", "begins with a dot"),
        (&dir, long.as_str(), "at most 255 bytes"),
        (&dir, "a: 1\nb: {\"\": own, c: 2}\n", "a file cannot have children"),
        (&server.url(), "a: 1\n\"..\": {b: 2}\n", "no `.` and `..`"),
        (&server.url(), "a: 1\n\"b\\nc\": 2\n", "U+000A"),
        (&server.url(), "a: 1\n\"😀\": 2\n", "U+1F600"),
    ] {
        let output = with_input(url, &["load", "-", "--at", "/top"], document.as_bytes());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{document}: {said}");
        assert!(said.contains(named) && said.contains("nothing was changed"), "{document}: {said}");
        let output = run(url, &["get", "/top/a"]);
        assert_eq!(output.status.code(), Some(1), "{document}: something was written");
    }
}

/// Only `ZooKeeper` has nodes without a value; elsewhere the omission is reported.
#[test]
fn nodes_without_a_value_are_created_or_reported() {
    let (etcd, server, (_place, dir)) = (Etcd::start(), ZooKeeper::start(), directory());
    for (url, said, listed) in [
        (etcd.url(), "1 without a value, which this store does not keep", "b\n"),
        (dir, "1 without a value, which this store does not keep", "b\n"),
        (server.url(), "were added", "a\nb\n"),
    ] {
        let output = with_input(&url, &["load", "-", "--at", "/top"], b"a: {}\nb: 1\n");
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && out.contains(said), "{url}: {out}");
        assert_eq!(good(&url, &["ls", "/top"]), listed, "{url}");
    }
}

#[test]
fn a_value_that_is_too_large_is_named() {
    let (etcd, server) = (Etcd::start(), ZooKeeper::start());
    let document = format!("a: 1\nlarge: \"{}\"\nsmall: 1\n", "x".repeat(3 << 20));
    for (url, limit) in [(etcd.url(), "--max-request-bytes"), (server.url(), "jute.maxbuffer")] {
        for args in [["put", "/top/large", "-"].as_slice(), &["load", "-", "--at", "/top"]] {
            let output = with_input(&url, args, document.as_bytes());
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("write /top/large") && said.contains(limit), "{url} {args:?}: {said}");
            assert_eq!(
                run(&url, &["get", "/top/a"]).status.code(),
                Some(1),
                "{args:?}: something was written"
            );
            assert!(args[0] == "put" || said.contains("; nothing was changed"), "{said}");
        }
    }
}

/// The root of a store always exists, and `/zookeeper` belongs to the server: neither prevents replacing, deleting or
/// copying a whole store.
#[test]
fn a_whole_store_is_replaced_and_deleted() {
    let (etcd, server, (_place, dir)) = (Etcd::start(), ZooKeeper::start(), directory());
    for url in
        [etcd.url(), server.url(), dir, format!("{}/prefix", etcd.url()), format!("{}/chroot", server.url())]
    {
        let load = |document: &[u8]| {
            let output = with_input(&url, &["load", "-", "--replace"], document);
            assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
            good(&url, &["dump", "/", "--format", "json"]).replace([' ', '\n'], "")
        };
        assert_eq!(load(b"a: {b: 1}\nc: 2\n"), r#"{"a":{"b":"1"},"c":"2"}"#, "{url}");
        assert_eq!(load(b"c: 3\n"), r#"{"c":"3"}"#, "{url}");
        good(&url, &["del", "/", "--tree", "--yes"]);
        // Created and deleted with it, if it is a node.
        if !url.contains("chroot") {
            assert_eq!(good(&url, &["dump", "/"]), "{}\n", "{url}");
        }
    }
    assert!(good(&server.url(), &["ls", "/zookeeper"]).contains("quota"));
    assert!(good(&server.url(), &["dump", "/zookeeper"]).contains("quota"));
}

/// A directory cannot have both a value and children: the deletions of `--replace` make room first.
#[test]
fn replace_turns_a_file_into_a_directory_and_back() {
    let (_place, dir) = directory();
    let load = |document: &[u8], args: &[&str]| {
        with_input(&dir, &[["load", "-"].as_slice(), args].concat(), document)
    };
    assert!(load(b"a: {b: {c: 1}}\nd: 2\n", &[]).status.success());
    let merged = load(b"a: 1\n", &[]);
    let said = String::from_utf8_lossy(&merged.stderr);
    assert!(said.contains("it is a directory") && said.contains("nothing was changed"), "{said}");
    let shown = String::from_utf8(load(b"a: 1\nd: {e: 2}\n", &["--replace", "--dry-run"]).stdout).unwrap();
    let steps: Vec<&str> = shown.lines().collect();
    assert_eq!(steps[..4], ["- /d = \"2\"", "- /a/b/c = \"1\"", "- /a/b", "- /a"], "{shown}");
    assert_eq!(steps[4..6], ["+ /a = \"1\"", "+ /d/e = \"2\""], "{shown}");
    let output = load(b"a: 1\nd: {e: 2}\n", &["--replace"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(good(&dir, &["dump", "/"]), "a: \"1\"\nd:\n  e: \"2\"\n");
    // An impossible change is found before anything is deleted.
    let output = load(b"a: {\"\": 1, b: 2}\n", &["--replace"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("a file cannot have children") && said.contains("nothing was changed"), "{said}");
    assert_eq!(good(&dir, &["dump", "/"]), "a: \"1\"\nd:\n  e: \"2\"\n");
}

/// A document that takes long enough to load that it can be interrupted.
fn many() -> (tempfile::TempDir, std::path::PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("many.yaml");
    let lines: Vec<String> = (0..20_000).map(|number| format!("k{number}: v\n")).collect();
    std::fs::write(&file, lines.concat()).unwrap();
    (place, file)
}

/// Ctrl-C in the middle of a load reports how far it got.
#[test]
fn an_interrupted_load_reports_what_it_has_done() {
    let etcd = Etcd::start();
    let (_place, file) = many();
    let args = ["load", file.to_str().unwrap(), "--at", "/top", "--timeout", "60s"];
    let mut load = Program::start(&etcd.url(), &args);
    load.complains("loaded 128 of 20000");
    etcd.freeze();
    load.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(load.code(), Some(130));
    assert!(load.err().contains("; the changes before it are kept: "), "{}", load.err());
    assert!(load.err().contains(" of 20000 changes, the last to /top/k"), "{}", load.err());
    etcd.thaw();
}

/// A progress bar on a terminal, which is cleared for messages about a lost store.
#[test]
fn a_long_load_shows_a_progress_bar_on_a_terminal() {
    let mut etcd = Etcd::start();
    let (_place, file) = many();
    // Keeps tmux from printing over it that the command has ended.
    let command = format!("{} load {} --at /top --timeout 60s; cat", program().display(), file.display());
    let terminal = Terminal::start((500, 20), &command, &[("TWITCHER_STORE", &etcd.url())]);
    terminal.shows("/20000 █");
    etcd.kill();
    let screen = terminal.shows("twitcher: ");
    assert!(screen.contains("the changes before it are kept: "), "{screen}");
    assert!(screen.contains("; whether the next 128 changes, up to /top/k"), "{screen}");
    assert!(screen.contains(", were made is not known; `--dry-run` shows what is left"), "{screen}");
    assert!(!screen.contains('█'), "{screen}");
}

/// A change between the reading of a key and its writing is a conflict, in every store. The change is made while the
/// question of `del --tree` waits for its answer, after everything was read.
fn a_change_made_in_between_is_a_conflict(url: &str) {
    for path in ["/c/a", "/c/b"] {
        good(url, &["put", path, "old"]);
    }
    let command = format!("{} del /c --tree; echo status $?", program().display());
    let terminal = Terminal::start((200, 20), &command, &[("TWITCHER_STORE", url)]);
    terminal.shows("[y/N]");
    good(url, &["put", "/c/b", "new"]);
    terminal.types("y");
    terminal.press("Enter");
    let screen = terminal.shows("status ");
    assert!(screen.contains("status 1") && screen.contains("was changed meanwhile"), "{screen}");
    assert_eq!(good(url, &["get", "/c/b"]), "new");
}

#[test]
fn a_concurrent_change_is_a_conflict_in_etcd() {
    a_change_made_in_between_is_a_conflict(&Etcd::start().url());
}

#[test]
fn a_concurrent_change_is_a_conflict_in_zookeeper() {
    a_change_made_in_between_is_a_conflict(&ZooKeeper::start().url());
}

#[test]
fn a_concurrent_change_is_a_conflict_in_a_directory() {
    a_change_made_in_between_is_a_conflict(&directory().1);
}
